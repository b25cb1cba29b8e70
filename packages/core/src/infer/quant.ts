/** Shape rules of quantization operators. */
import { dtypeOfOnnx } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { type InferContext, type InferRule, tensor } from './rule.js';
import { matmulShape } from './linalg.js';

const outputDtype = (c: InferContext) => dtypeOfOnnx.get(c.node.int('output_dtype', 0));

export const quantize: InferRule = (c) => [tensor(c.dtype(2) ?? outputDtype(c) ?? 'uint8', c.shape(0))];
export const dequantize: InferRule = (c) => [tensor(outputDtype(c) ?? c.dtype(1), c.shape(0))];

export const quantRules = {
  QuantizeLinear: quantize, DequantizeLinear: dequantize,
  DynamicQuantizeLinear: (c) => [tensor('uint8', c.shape(0)), tensor('float32', []), tensor('uint8', [])],
  MatMulInteger: (c) => [tensor('int32', matmulShape(c, c.shape(0), c.shape(1)))],
  QLinearMatMul: (c) => [tensor(c.dtype(7), matmulShape(c, c.shape(0), c.shape(3)))],
} satisfies Partial<Record<OpName, InferRule>>;
