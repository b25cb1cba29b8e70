/** Rearranged columns: which input element each output element is, and the copying of them. */
import { PenjingError } from '../errors.js';
import { elementCount, type Shape } from '../shape.js';
import type { TensorExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext, type Window } from './window.js';

/** start + Σ index·stride, for every index of `shape` in order. */
export function strided(shape: Shape, strides: readonly number[], start: number): Uint32Array {
  const count = elementCount(shape);
  if (count > 2 ** 28) throw new PenjingError('E_LIMIT', `rows of ${count} elements are too long to be rearranged`);
  const out = new Uint32Array(count);
  const index = new Array<number>(shape.length).fill(0);
  let at = start;
  for (let i = 0; i < count; i++) {
    out[i] = at;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Columns c0…c1 of a tensor whose column i is column `columns[i]` of the input. */
export function pickColumns(input: TensorExpr, columns: Uint32Array, { r0, r1, c0, c1 }: Window, context: EvaluationContext): Uint8Array {
  const wanted = columns.subarray(c0, c1);
  let low = Infinity;
  let high = 0;
  for (const column of wanted) {
    if (column < low) low = column;
    if (column >= high) high = column + 1;
  }
  const width = elementBytes(input.dtype);
  const band = wanted.length * width;
  const out = context.alloc((r1 - r0) * band);
  if (band === 0 || r1 === r0) return out;
  const bytes = context.window(input, { r0, r1, c0: low, c1: high });
  const stride = (high - low) * width;
  for (let r = 0; r < r1 - r0; r++) pick(bytes.subarray(r * stride, (r + 1) * stride), wanted, low, width, out.subarray(r * band, (r + 1) * band));
  return out;
}

/** out[i] = bytes[indices[i] - base], elements of `width` bytes. */
export function pick(bytes: Uint8Array, indices: Uint32Array, base: number, width: number, out: Uint8Array): void {
  for (let i = 0; i < indices.length; i++) {
    const from = (indices[i]! - base) * width;
    for (let b = 0; b < width; b++) out[i * width + b] = bytes[from + b]!;
  }
}
