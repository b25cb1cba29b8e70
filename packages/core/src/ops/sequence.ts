/** Declarations of the sequence and optional operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const sequence = {
  ConcatFromSequence: ['11 input_sequence:S -> concat_result:T | S=seq(any); T=any | axis:int! new_axis:int=0'],
  Optional: [
    '15 input?:V -> output:O | V=any seq(any); O=opt(any seq(any)) | type:type',
    '28 input?:V -> output:O | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2); O=opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2)) | type:type',
  ],
  OptionalGetElement: [
    '15 input:O -> output:V | O=opt(any seq(any)); V=any seq(any)',
    '18 input:O -> output:V | O=any opt(any seq(any)) seq(any); V=any seq(any)',
    '28 input:O -> output:V | O=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2)) seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2); V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2)',
  ],
  OptionalHasElement: [
    '15 input:O -> output:B | O=opt(any seq(any)); B=bool',
    '18 input?:O -> output:B | O=any opt(any seq(any)) seq(any); B=bool',
    '28 input?:O -> output:B | O=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2)) seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2); B=bool',
  ],
  SequenceAt: ['11 input_sequence:S position:I -> tensor:T | S=seq(any); T=any; I=int32 int64'],
  SequenceConstruct: ['11 inputs+:T -> output_sequence:S | T=any; S=seq(any)'],
  SequenceEmpty: ['11 -> output:S | S=seq(any) | dtype:int'],
  SequenceErase: ['11 input_sequence:S position?:I -> output_sequence:S | S=seq(any); I=int32 int64'],
  SequenceInsert: ['11 input_sequence:S tensor:T position?:I -> output_sequence:S | T=any; S=seq(any); I=int32 int64'],
  SequenceLength: ['11 input_sequence:S -> length:I | S=seq(any); I=int64'],
  SequenceMap: ['17 input_sequence:S additional_inputs*~:V -> out_sequence+~:S | S=seq(any); V=any seq(any) | body:graph!'],
  SplitToSequence: [
    '11 input:T split?:I -> output_sequence:S | T=any; I=int32 int64; S=seq(any) | axis:int=0 keepdims:int=1',
    '24 input:T split?:I -> output_sequence:S | T=any bfloat16; I=int32 int64; S=seq(any bfloat16) | axis:int=0 keepdims:int=1',
  ],
} satisfies OpRows;
