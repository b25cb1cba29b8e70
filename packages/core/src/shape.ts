/** Shapes: checked products, strides and broadcasting over plain arrays of safe integers. */
import { PenjingError } from './errors.js';

/** A fixed shape, outermost dimension first. */
export type Shape = readonly number[];

/** One dimension of a value's type: a size, a symbol, or unknown. */
export type Dim = number | string | null;

/** Number of elements; throws `E_SHAPE` unless every dimension and the product are safe integers ≥ 0. */
export function elementCount(shape: Shape): number {
  let count = 1;
  let empty = false;
  for (const dim of shape) {
    if (!Number.isSafeInteger(dim) || dim < 0) {
      throw new PenjingError('E_SHAPE', `dimension ${dim} in [${shape.join(', ')}] is not a size`);
    }
    if (dim === 0) empty = true;
    else count *= dim;
    if (!Number.isSafeInteger(count)) {
      throw new PenjingError('E_SHAPE', `shape [${shape.join(', ')}] has too many elements`);
    }
  }
  return empty ? 0 : count;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** NumPy broadcasting of two fixed shapes (ONNX multidirectional broadcasting). */
export function broadcastShapes(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new PenjingError('E_SHAPE', `shapes [${a.join(', ')}] and [${b.join(', ')}] do not broadcast`);
    }
    out[i] = x === 1 ? y : x;
  }
  return out;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** A tensor seen as a matrix: dimension 0 by everything else; a scalar is one row of one element. */
export function matrixView(shape: Shape): { rows: number; cols: number } {
  if (shape.length === 0) return { rows: 1, cols: 1 };
  return { rows: shape[0]!, cols: elementCount(shape.slice(1)) };
}

/** Maps a possibly negative axis into [0, rank); throws `E_SHAPE` when it is outside. */
export function normalizeAxis(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(at) || at < 0 || at >= rank) {
    throw new PenjingError('E_SHAPE', `axis ${axis} is outside a tensor of rank ${rank}`);
  }
  return at;
}
