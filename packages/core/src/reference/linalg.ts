/** Reference kernels of matrix operators. */
import type { DType } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { broadcastShapes, elementCount, stridesOf } from '../shape.js';
import { broadcastIndex, expanded, type NdArray, numbers, permuted, rounded, stridedIndex } from './array.js';
import type { Kernel } from './kernel.js';

/** out (m, n) += a (m, k) · b (k, n), all row-major, from the given offsets. */
export function gemm(a: Float64Array, b: Float64Array, out: Float64Array, m: number, k: number, n: number, at: readonly [number, number, number] = [0, 0, 0]): void {
  const [ao, bo, oo] = at;
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const x = a[ao + i * k + p]!;
      const row = bo + p * n;
      const to = oo + i * n;
      for (let j = 0; j < n; j++) out[to + j]! += x * b[row + j]!;
    }
  }
}

/** NumPy matmul into doubles that are not rounded yet. */
export function matmulRaw(x: NdArray, y: NdArray): { shape: number[]; data: Float64Array } {
  const a = x.shape.length === 1 ? [1, ...x.shape] : x.shape;
  const b = y.shape.length === 1 ? [...y.shape, 1] : y.shape;
  const [m, k, n] = [a.at(-2)!, a.at(-1)!, b.at(-1)!];
  if (b.at(-2) !== k) throw new RangeError(`inner sizes ${k} and ${b.at(-2)} differ`);
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  const [i, j] = [broadcastIndex(a.slice(0, -2), batch), broadcastIndex(b.slice(0, -2), batch)];
  const out = new Float64Array(elementCount(batch) * m * n);
  const [left, right] = [numbers(x), numbers(y)];
  for (let t = 0; t < i.length; t++) gemm(left, right, out, m, k, n, [i[t]! * m * k, j[t]! * k * n, t * m * n]);
  return { shape: [...batch, ...(x.shape.length === 1 ? [] : [m]), ...(y.shape.length === 1 ? [] : [n])], data: out };
}

export function matmul(x: NdArray, y: NdArray, dtype: DType = x.dtype): NdArray {
  const { shape, data } = matmulRaw(x, y);
  return rounded(dtype, shape, data);
}

export function transposed(x: NdArray, yes: boolean): NdArray {
  const rank = x.shape.length;
  return yes && rank >= 2 ? permuted(x, x.shape.map((_, i) => (i === rank - 2 ? rank - 1 : i === rank - 1 ? rank - 2 : i))) : x;
}

export const gemmKernel: Kernel = (c) => {
  const a = transposed(c.array(0), c.node.int('transA', 0) === 1);
  const b = transposed(c.array(1), c.node.int('transB', 0) === 1);
  const [alpha, beta] = [c.node.float('alpha', 1), c.node.float('beta', 1)];
  const { shape, data } = matmulRaw(a, b);
  const bias = c.optional(2);
  const add = bias && numbers(expanded(bias, shape));
  return [rounded(c.array(0).dtype, shape, data.map((x, i) => alpha * x + beta * (add?.[i] ?? 0)))];
};

export function einsum(equation: string, operands: readonly NdArray[]): NdArray {
  const text = equation.replaceAll(' ', '');
  const [left = '', right] = text.split('->');
  // Ellipsis axes become letters of their own, aligned at the right.
  const dots = Math.max(...left.split(',').map((term, i) => (term.includes('...') ? operands[i]!.shape.length - term.length + 3 : 0)));
  const filler = (count: number): string => Array.from({ length: count }, (_, i) => String.fromCharCode(0x100 + dots - count + i)).join('');
  const terms = left.split(',').map((term, i) => term.replace('...', filler(operands[i]!.shape.length - term.length + 3)));
  const all = terms.join('');
  const implicit = [...new Set(all)].filter((letter) => letter < '\u0100' && all.indexOf(letter) === all.lastIndexOf(letter)).sort().join('');
  const out = (right ?? (left.includes('...') ? '...' : '') + implicit).replace('...', filler(dots));
  const sizes = new Map<string, number>();
  terms.forEach((term, i) => [...term].forEach((letter, d) => sizes.set(letter, Math.max(sizes.get(letter) ?? 1, operands[i]!.shape[d]!))));
  const letters = [...out, ...[...sizes.keys()].filter((letter) => !out.includes(letter))];
  const space = letters.map((letter) => sizes.get(letter)!);
  const indices = terms.map((term, i) => {
    const strides = stridesOf(operands[i]!.shape);
    return stridedIndex(space, letters.map((letter) => [...term].reduce((sum, x, d) => sum + (x === letter && operands[i]!.shape[d] !== 1 ? strides[d]! : 0), 0)));
  });
  const shape = [...out].map((letter) => sizes.get(letter)!);
  const result = new Float64Array(elementCount(shape));
  const inner = elementCount(space) / Math.max(1, result.length);
  const data = operands.map(numbers);
  for (let i = 0; i < elementCount(space); i++) {
    let product = 1;
    for (let t = 0; t < data.length; t++) product *= data[t]![indices[t]![i]!]!;
    result[Math.floor(i / inner)]! += product;
  }
  return rounded(operands[0]!.dtype, shape, result);
}

function determinant(matrix: Float64Array, n: number): number {
  const a = matrix.slice();
  let det = 1;
  for (let col = 0; col < n; col++) {
    let pivot = col;
    for (let row = col + 1; row < n; row++) if (Math.abs(a[row * n + col]!) > Math.abs(a[pivot * n + col]!)) pivot = row;
    if (a[pivot * n + col] === 0) return 0;
    if (pivot !== col) {
      det = -det;
      for (let j = 0; j < n; j++) [a[col * n + j], a[pivot * n + j]] = [a[pivot * n + j]!, a[col * n + j]!];
    }
    det *= a[col * n + col]!;
    for (let row = col + 1; row < n; row++) {
      const factor = a[row * n + col]! / a[col * n + col]!;
      for (let j = col; j < n; j++) a[row * n + j]! -= factor * a[col * n + j]!;
    }
  }
  return det;
}

export const linalgKernels = {
  MatMul: (c) => [matmul(c.array(0), c.array(1))],
  Gemm: gemmKernel,
  Einsum: (c) => [einsum(c.node.string('equation', ''), c.arrays())],
  Det(c) {
    const x = c.array(0);
    const n = x.shape.at(-1)!;
    const values = numbers(x);
    const count = elementCount(x.shape.slice(0, -2));
    return [rounded(x.dtype, x.shape.slice(0, -2), Array.from({ length: count }, (_, i) => determinant(values.subarray(i * n * n, (i + 1) * n * n), n)))];
  },
} satisfies Partial<Record<OpName, Kernel>>;
