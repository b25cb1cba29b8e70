/** Products of matrices, einsum, distances. */
import { type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat } from '../promote.js';
import { row } from '../row.js';
import { plainNumber, type Scalar } from '../values.js';
import { einsum } from './einsum.js';
import { norm, reduce } from './reduce.js';

/** x · weightᵀ + bias: Gemm on matrices, MatMul with the weight turned otherwise. */
export function linear(c: AtenContext, input: Value, weight: Value, bias: Value | null): Value {
  const [given, taken] = [c.dims(input).at(-1), c.dims(weight).at(-1)];
  // Inference would find out only what the result is not.
  if (typeof given === 'number' && typeof taken === 'number' && given !== taken) throw c.unsupported(`the input has ${given} values along its last axis, the weight ${weight.name} takes ${taken}`, 'Look at what comes in front: is a flatten or a transpose missing, or is the input of another size?');
  if (c.rank(weight) === 1) {
    const product = c.op('MatMul', [input, weight]);
    return bias ? c.op('Add', [product, bias]) : product;
  }
  if (c.rank(input) === 2 && bias) return c.op('Gemm', [input, weight, bias], { transB: 1 });
  const product = c.op('MatMul', [input, c.transpose(weight, [1, 0])]);
  return bias ? c.op('Add', [product, bias]) : product;
}

/** ONNX multiplies floats and 32-bit integers and more. */
export function matmul(c: AtenContext, a: Value, b: Value): Value {
  return c.op('MatMul', [a, b]);
}

/** beta · input + alpha · product. */
function blend(c: AtenContext, input: Value, product: Value, beta: Scalar, alpha: Scalar): Value {
  const scaled = (x: Value, by: Scalar): Value => (plainNumber(by) === 1 ? x : c.op('Mul', [x, c.tensor(by, c.dtype(x))]));
  if (plainNumber(beta) === 0) return scaled(product, alpha);
  return c.op('Add', [scaled(input, beta), scaled(product, alpha)]);
}

function addmm(c: AtenContext, self: Value, a: Value, b: Value, beta: Scalar, alpha: Scalar): Value {
  const [x, y] = [plainNumber(beta), plainNumber(alpha)];
  if (x === undefined || y === undefined || !isFloat(c.dtype(self))) return blend(c, self, matmul(c, a, b), beta, alpha);
  // The weight of a linear layer arrives turned: Gemm takes it as it is stored.
  const turned = b.producer?.opType === 'Transpose' && b.producer.input(0)?.tensor !== undefined;
  return c.op('Gemm', [a, turned ? b.producer.input(0)! : b, self], {
    ...(y === 1 ? {} : { alpha: c.float(y) }), ...(x === 1 ? {} : { beta: c.float(x) }), ...(turned ? { transB: 1 } : {}),
  });
}

/** Pairwise distances (…, p, m) × (…, r, m) → (…, p, r). */
function cdist(c: AtenContext, a: Value, b: Value, p: number): Value {
  const difference = c.op('Sub', [c.unsqueeze(a, [c.rank(a) - 1]), c.unsqueeze(b, [c.rank(b) - 2])]);
  return norm(c, difference, p, [-1], false);
}

/** Distances between all pairs of rows, the upper triangle by rows. */
function pdist(c: AtenContext, self: Value, p: number): Value {
  const n = c.size(self, 0);
  if (typeof n !== 'number') throw c.unsupported('pairs of an unknown number of rows');
  const pairs = Array.from({ length: n }, (_, i) => Array.from({ length: n - i - 1 }, (_, k) => [i, i + k + 1] as const)).flat();
  const rows = (side: 0 | 1): Value => c.op('Gather', [self, c.int64(pairs.map((pair) => pair[side]))], { axis: 0 });
  return norm(c, c.op('Sub', [rows(0), rows(1)]), p, [-1], false);
}

export const linalg = [
  row('linear(Tensor input, Tensor weight, Tensor? bias=None)', (c, { input, weight, bias }) => linear(c, input, weight, bias)),
  row('matmul(Tensor self, Tensor other)', (c, { self, other }) => matmul(c, self, other)),
  row('mm(Tensor self, Tensor mat2)', (c, { self, mat2 }) => matmul(c, self, mat2)),
  row('bmm(Tensor self, Tensor mat2)', (c, { self, mat2 }) => matmul(c, self, mat2)),
  row('mv(Tensor self, Tensor vec)', (c, { self, vec }) => matmul(c, self, vec)),
  row('dot(Tensor self, Tensor tensor)', (c, { self, tensor }) => matmul(c, self, tensor)),
  row('outer(Tensor self, Tensor vec2)', (c, { self, vec2 }) => c.op('Mul', c.promoted([c.unsqueeze(self, [1]), c.unsqueeze(vec2, [0])]))),
  row('addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1)', (c, { self, mat1, mat2, beta, alpha }) => addmm(c, self, mat1, mat2, beta, alpha)),
  row('baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)', (c, { self, batch1, batch2, beta, alpha }) =>
    blend(c, self, matmul(c, batch1, batch2), beta, alpha)),
  row('addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)', (c, { self, batch1, batch2, beta, alpha }) =>
    blend(c, self, reduce(c, 'ReduceSum', matmul(c, batch1, batch2), [0], false), beta, alpha)),
  row('addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1)', (c, { self, mat, vec, beta, alpha }) => blend(c, self, matmul(c, mat, vec), beta, alpha)),
  row('bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None)', (c, { input1, input2, weight, bias }) => {
    // (…, i) × (o, i, j) × (…, j) → (…, o)
    const left = c.op('MatMul', [c.unsqueeze(input1, [-2, -3]), weight]);
    const product = c.squeeze(c.op('MatMul', [left, c.unsqueeze(input2, [-1, -3])]), [-1, -2]);
    return bias ? c.op('Add', [product, bias]) : product;
  }),
  row('einsum(str equation, Tensor[] operands, *, int[]? path=None)', (c, { equation, operands }) => einsum(c, equation, operands)),
  row('_trilinear(Tensor i1, Tensor i2, Tensor i3, int[] expand1, int[] expand2, int[] expand3, int[] sumdim, int unroll_dim=1)', (c, { i1, i2, i3, expand1, expand2, expand3, sumdim }) => {
    const [x, y, z] = ([[i1, expand1], [i2, expand2], [i3, expand3]] as const).map(([tensor, axes]) => c.unsqueeze(tensor, axes)) as [Value, Value, Value];
    const product = c.op('Mul', [c.op('Mul', [x, y]), z]);
    return reduce(c, 'ReduceSum', product, sumdim, false);
  }),
  row('cdist(Tensor x1, Tensor x2, float p=2, int? compute_mode=None)', (c, { x1, x2, p }) => cdist(c, x1, x2, p)),
  row('_cdist_forward(Tensor x1, Tensor x2, float p, int? compute_mode)', (c, { x1, x2, p }) => cdist(c, x1, x2, p)),
  row('_euclidean_dist(Tensor x1, Tensor x2)', (c, { x1, x2 }) => cdist(c, x1, x2, 2)),
  row('_pdist_forward(Tensor self, float p=2)', (c, { self, p }) => pdist(c, self, p)),
  row('pdist(Tensor self, float p=2)', (c, { self, p }) => pdist(c, self, p)),
  row('pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-6, bool keepdim=False)', (c, { x1, x2, p, eps, keepdim }) => {
    const difference = c.op('Sub', [x1, x2]);
    return norm(c, c.op('Add', [difference, c.constant(c.dtype(difference), eps)]), p, [-1], keepdim);
  }),
  row('cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-8)', (c, { x1, x2, dim, eps }) => {
    const product = c.op('Mul', [x1, x2]);
    const axis = [c.axis(dim, c.rank(product))];
    const dtype = c.dtype(product);
    const length = (x: Value): Value => c.op('Max', [norm(c, x, 2, [dim], false), c.constant(dtype, eps)]);
    return c.op('Div', [reduce(c, 'ReduceSum', product, axis, false), c.op('Mul', [length(x1), length(x2)])]);
  }),
];
