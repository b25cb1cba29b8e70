/** Declarations of the operators that reduce, rank or scan along axes, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const reduce = {
  ArgMax: ['13 data:T -> reduced:int64 | T=float int uint bfloat16 | axis:int=0 keepdims:int=1 select_last_index:int=0'],
  ArgMin: ['13 data:T -> reduced:int64 | T=float int uint bfloat16 | axis:int=0 keepdims:int=1 select_last_index:int=0'],
  CumProd: ['26 x:T axis:T2 -> y:T | T=float uint32 uint64 int32 int64 bfloat16; T2=int32 int64 | exclusive:int=0 reverse:int=0'],
  CumSum: [
    '11 x:T axis:T2 -> y:T | T=uint32 uint64 int32 int64 float32 float64; T2=int32 int64 | exclusive:int=0 reverse:int=0',
    '14 x:T axis:T2 -> y:T | T=float uint32 uint64 int32 int64 bfloat16; T2=int32 int64 | exclusive:int=0 reverse:int=0',
  ],
  Hardmax: ['13 input:T -> output:T | T=float bfloat16 | axis:int=-1'],
  LogSoftmax: ['13 input:T -> output:T | T=float bfloat16 | axis:int=-1'],
  NegativeLogLikelihoodLoss: [
    '13 input:T target:Tind weight?:T -> loss:T | T=float; Tind=int32 int64 | ignore_index:int reduction:string=mean',
    '22 input:T target:Tind weight?:T -> loss:T | T=float bfloat16; Tind=int32 int64 | ignore_index:int reduction:string=mean',
  ],
  ReduceL1: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceL2: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceLogSum: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
    '28 data:T axes?:int64 -> reduced:T | T=float bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceLogSumExp: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
    '28 data:T axes?:int64 -> reduced:T | T=float bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceMax: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 | keepdims:int=1 noop_with_empty_axes:int=0',
    '20 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 bool | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceMean: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceMin: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 | keepdims:int=1 noop_with_empty_axes:int=0',
    '20 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 uint8 int8 bool | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceProd: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  ReduceSum: ['13 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0'],
  ReduceSumSquare: [
    '13 data:T -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | axes:ints keepdims:int=1',
    '18 data:T axes?:int64 -> reduced:T | T=float uint32 uint64 int32 int64 bfloat16 | keepdims:int=1 noop_with_empty_axes:int=0',
  ],
  Softmax: ['13 input:T -> output:T | T=float bfloat16 | axis:int=-1'],
  SoftmaxCrossEntropyLoss: ['13 scores:T labels:Tind weights?:T -> output:T log_prob?:T | T=float bfloat16; Tind=int32 int64 | ignore_index:int reduction:string=mean'],
  TopK: [
    '11 X:T K:int64 -> Values:T Indices:I | T=float int uint; I=int64 | axis:int=-1 largest:int=1 sorted:int=1',
    '24 X:T K:int64 -> Values:T Indices:I | T=float int uint bfloat16; I=int64 | axis:int=-1 largest:int=1 sorted:int=1',
  ],
} satisfies OpRows;
