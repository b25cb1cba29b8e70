/** Declarations of the element-wise operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const elementwise = {
  Abs: ['13 X:T -> Y:T | T=float int uint bfloat16'],
  Acos: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Acosh: [
    '9 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Add: [
    '13 A:T B:T -> C:T | T=float uint32 uint64 int32 int64 bfloat16',
    '14 A:T B:T -> C:T | T=float int uint bfloat16',
  ],
  And: ['7 A:T B:T -> C:T1 | T=bool; T1=bool'],
  Asin: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Asinh: [
    '9 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Atan: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Atanh: [
    '9 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  BitCast: ['26 input:T1 -> output:T2 | T1=float int uint complex float8 bfloat16 bool uint4 int4 float4e2m1 float8e8m0 uint2 int2; T2=float int uint complex float8 bfloat16 bool uint4 int4 float4e2m1 float8e8m0 uint2 int2 | to:int!'],
  BitShift: [
    '11 X:T Y:T -> Z:T | T=uint | direction:string!',
    '28 X:T Y:T -> Z:T | T=int uint | direction:string!',
  ],
  BitwiseAnd: ['18 A:T B:T -> C:T | T=int uint'],
  BitwiseNot: ['18 X:T -> Y:T | T=int uint'],
  BitwiseOr: ['18 A:T B:T -> C:T | T=int uint'],
  BitwiseXor: ['18 A:T B:T -> C:T | T=int uint'],
  Cast: [
    '13 input:T1 -> output:T2 | T1=float int uint bool string bfloat16; T2=float int uint bool string bfloat16 | to:int!',
    '19 input:T1 -> output:T2 | T1=float int uint float8 bool string bfloat16; T2=float int uint float8 bool string bfloat16 | saturate:int=1 to:int!',
    '21 input:T1 -> output:T2 | T1=float int uint float8 bool string bfloat16 uint4 int4; T2=float int uint float8 bool string bfloat16 uint4 int4 | saturate:int=1 to:int!',
    '23 input:T1 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 | saturate:int=1 to:int!',
    '24 input:T1 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 | round_mode:string=up saturate:int=1 to:int!',
    '25 input:T1 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2 | round_mode:string=up saturate:int=1 to:int!',
    '28 input:T1 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2 | round_mode:string=up saturate:int=1 to:int!',
  ],
  CastLike: [
    '15 input:T1 target_type:T2 -> output:T2 | T1=float int uint bool string bfloat16; T2=float int uint bool string bfloat16',
    '19 input:T1 target_type:T2 -> output:T2 | T1=float int uint float8 bool string bfloat16; T2=float int uint float8 bool string bfloat16 | saturate:int=1',
    '21 input:T1 target_type:T2 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4; T2=float int uint float8 bfloat16 string bool uint4 int4 | saturate:int=1',
    '23 input:T1 target_type:T2 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 | saturate:int=1',
    '24 input:T1 target_type:T2 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 | round_mode:string=up saturate:int=1',
    '25 input:T1 target_type:T2 -> output:T2 | T1=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2; T2=float int uint float8 bfloat16 string bool uint4 int4 float4e2m1 float8e8m0 uint2 int2 | round_mode:string=up saturate:int=1',
  ],
  Ceil: ['13 X:T -> Y:T | T=float bfloat16'],
  Celu: [
    '12 X:T -> Y:T | T=float32 | alpha:float=1.0',
    '28 X:T -> Y:T | T=float bfloat16 | alpha:float=1.0',
  ],
  Clip: ['13 input:T min?:T max?:T -> output:T | T=float int uint bfloat16'],
  Cos: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Cosh: [
    '9 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Div: [
    '13 A:T B:T -> C:T | T=float uint32 uint64 int32 int64 bfloat16',
    '14 A:T B:T -> C:T | T=float int uint bfloat16',
  ],
  Dropout: [
    '13 data:T ratio?:T1 training_mode?:T2 -> output:T mask?:T2 | T=float bfloat16; T1=float; T2=bool | seed:int',
    '22 data:T ratio?:T1 training_mode?:T2 -> output:T mask?:T2 | T=float float8 bfloat16; T1=float float8 bfloat16; T2=bool | seed:int',
  ],
  Elu: [
    '6 X:T -> Y:T | T=float | alpha:float=1.0',
    '22 X:T -> Y:T | T=float bfloat16 | alpha:float=1.0',
  ],
  Equal: [
    '13 A:T B:T -> C:T1 | T=float int uint bool bfloat16; T1=bool',
    '19 A:T B:T -> C:T1 | T=float int uint bool bfloat16 string; T1=bool',
  ],
  Erf: ['13 input:T -> output:T | T=float bfloat16'],
  Exp: ['13 input:T -> output:T | T=float bfloat16'],
  Floor: ['13 X:T -> Y:T | T=float bfloat16'],
  Gelu: ['20 X:T -> Y:T | T=float bfloat16 | approximate:string=none'],
  Greater: ['13 A:T B:T -> C:T1 | T=float int uint bfloat16; T1=bool'],
  GreaterOrEqual: [
    '12 A:T B:T -> C:T1 | T=float int uint; T1=bool',
    '16 A:T B:T -> C:T1 | T=float int uint bfloat16; T1=bool',
  ],
  HardSigmoid: [
    '6 X:T -> Y:T | T=float | alpha:float=0.2 beta:float=0.5',
    '22 X:T -> Y:T | T=float bfloat16 | alpha:float=0.2 beta:float=0.5',
  ],
  HardSwish: [
    '14 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  Identity: [
    '13 input:T -> output:T | T=any bfloat16',
    '14 input:V -> output:V | V=any bfloat16 seq(any)',
    '16 input:V -> output:V | V=any bfloat16 seq(any) opt(any seq(any))',
    '19 input:V -> output:V | V=any float8 bfloat16 seq(any) opt(any seq(any))',
    '21 input:V -> output:V | V=any float8 bfloat16 uint4 int4 seq(any) opt(any seq(any))',
    '23 input:V -> output:V | V=any float8 bfloat16 uint4 int4 float4e2m1 seq(any) opt(any seq(any))',
    '24 input:V -> output:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 seq(any) opt(any seq(any))',
    '25 input:V -> output:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 seq(any) opt(any seq(any))',
  ],
  IsInf: [
    '10 X:T1 -> Y:T2 | T1=float32 float64; T2=bool | detect_negative:int=1 detect_positive:int=1',
    '20 X:T1 -> Y:T2 | T1=float float8 bfloat16; T2=bool | detect_negative:int=1 detect_positive:int=1',
  ],
  IsNaN: [
    '13 X:T1 -> Y:T2 | T1=float bfloat16; T2=bool',
    '20 X:T1 -> Y:T2 | T1=float float8 bfloat16; T2=bool',
  ],
  LeakyRelu: [
    '6 X:T -> Y:T | T=float | alpha:float=0.01',
    '16 X:T -> Y:T | T=float bfloat16 | alpha:float=0.01',
  ],
  Less: ['13 A:T B:T -> C:T1 | T=float int uint bfloat16; T1=bool'],
  LessOrEqual: [
    '12 A:T B:T -> C:T1 | T=float int uint; T1=bool',
    '16 A:T B:T -> C:T1 | T=float int uint bfloat16; T1=bool',
  ],
  Log: ['13 input:T -> output:T | T=float bfloat16'],
  Max: ['13 data_0+:T -> max:T | T=float int uint bfloat16'],
  Mean: ['13 data_0+:T -> mean:T | T=float bfloat16'],
  Min: ['13 data_0+:T -> min:T | T=float int uint bfloat16'],
  Mish: [
    '18 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  Mod: [
    '13 A:T B:T -> C:T | T=float int uint bfloat16 | fmod:int=0',
    '28 A:T B:T -> C:T | T=float int uint bfloat16 | fmod:int=0',
  ],
  Mul: [
    '13 A:T B:T -> C:T | T=float uint32 uint64 int32 int64 bfloat16',
    '14 A:T B:T -> C:T | T=float int uint bfloat16',
  ],
  Neg: ['13 X:T -> Y:T | T=float int bfloat16'],
  Not: ['1 X:T -> Y:T | T=bool'],
  Or: ['7 A:T B:T -> C:T1 | T=bool; T1=bool'],
  Pow: [
    '13 X:T Y:T1 -> Z:T | T=float int32 int64 bfloat16; T1=float int uint',
    '15 X:T Y:T1 -> Z:T | T=float int32 int64 bfloat16; T1=float int uint bfloat16',
  ],
  PRelu: [
    '9 X:T slope:T -> Y:T | T=float uint32 uint64 int32 int64',
    '16 X:T slope:T -> Y:T | T=float bfloat16 uint32 uint64 int32 int64',
  ],
  Reciprocal: ['13 X:T -> Y:T | T=float bfloat16'],
  Relu: [
    '13 X:T -> Y:T | T=float bfloat16',
    '14 X:T -> Y:T | T=float int bfloat16',
  ],
  Round: [
    '11 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  Selu: [
    '6 X:T -> Y:T | T=float | alpha:float=1.6732632 gamma:float=1.050701',
    '22 X:T -> Y:T | T=float bfloat16 | alpha:float=1.6732632 gamma:float=1.050701',
  ],
  Shrink: ['9 input:T -> output:T | T=float int uint | bias:float=0.0 lambd:float=0.5'],
  Sigmoid: ['13 X:T -> Y:T | T=float bfloat16'],
  Sign: ['13 input:T -> output:T | T=float int uint bfloat16'],
  Sin: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Sinh: [
    '9 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Softplus: [
    '1 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  Softsign: [
    '1 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Sqrt: ['13 X:T -> Y:T | T=float bfloat16'],
  Sub: [
    '13 A:T B:T -> C:T | T=float uint32 uint64 int32 int64 bfloat16',
    '14 A:T B:T -> C:T | T=float int uint bfloat16',
  ],
  Sum: ['13 data_0+:T -> sum:T | T=float bfloat16'],
  SwiGLU: ['28 A:T B:T -> Y:T | T=float bfloat16 | alpha:float=1.0'],
  Swish: ['24 X:T -> Y:T | T=float bfloat16 | alpha:float=1.0'],
  Tan: [
    '7 input:T -> output:T | T=float',
    '22 input:T -> output:T | T=float bfloat16',
  ],
  Tanh: ['13 input:T -> output:T | T=float bfloat16'],
  ThresholdedRelu: [
    '10 X:T -> Y:T | T=float | alpha:float=1.0',
    '22 X:T -> Y:T | T=float bfloat16 | alpha:float=1.0',
  ],
  Where: [
    '9 condition:B X:T Y:T -> output:T | B=bool; T=any',
    '16 condition:B X:T Y:T -> output:T | B=bool; T=any bfloat16',
  ],
  Xor: ['7 A:T B:T -> C:T1 | T=bool; T1=bool'],
} satisfies OpRows;
