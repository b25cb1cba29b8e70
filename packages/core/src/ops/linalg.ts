/** Declarations of the matrix operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const linalg = {
  Det: [
    '11 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  Einsum: [
    '12 Inputs+:T -> Output:T | T=float int uint | equation:string!',
    '28 Inputs+:T -> Output:T | T=float int uint bfloat16 | equation:string!',
  ],
  Gemm: ['13 A:T B:T C?:T -> Y:T | T=float uint32 uint64 int32 int64 bfloat16 | alpha:float=1.0 beta:float=1.0 transA:int=0 transB:int=0'],
  MatMul: ['13 A:T B:T -> Y:T | T=float uint32 uint64 int32 int64 bfloat16'],
} satisfies OpRows;
