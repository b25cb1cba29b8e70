/** Operations that move elements: reshape, slice, concat, gather. */
import { typedView } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { elementCount, matrixView, stridesOf } from '../shape.js';
import { pickColumns, strided } from './columns.js';
import type { ConcatExpr, GatherExpr, ReshapeExpr, SliceExpr, TensorExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext, type Rule, type Window, wholeWindow, windowCount } from './window.js';

export const reshape: Rule<ReshapeExpr> = (expr, window, context) => {
  const { cols } = matrixView(expr.shape);
  if (cols === matrixView(expr.input.shape).cols) return context.window(expr.input, window);
  const { r0, r1, c0, c1 } = window;
  if (c1 - c0 === cols) return flatRange(expr.input, r0 * cols, r1 * cols, context);
  const band = (c1 - c0) * elementBytes(expr.dtype);
  const out = context.alloc((r1 - r0) * band);
  for (let r = r0; r < r1; r++) out.set(flatRange(expr.input, r * cols + c0, r * cols + c1, context), (r - r0) * band);
  return out;
};

/** Elements [start, end) of the flattened tensor: part of a row, whole rows, part of a row. */
export function flatRange(expr: TensorExpr, start: number, end: number, context: EvaluationContext): Uint8Array {
  if (start === end) return new Uint8Array(0);
  const { cols } = matrixView(expr.shape);
  const first = Math.floor(start / cols);
  const last = Math.floor((end - 1) / cols);
  const head = start - first * cols;
  const tail = end - last * cols;
  if (first === last) return context.window(expr, { r0: first, r1: first + 1, c0: head, c1: tail });
  if (head === 0 && tail === cols) return context.window(expr, { r0: first, r1: last + 1, c0: 0, c1: cols });
  const parts: Window[] = [];
  if (head > 0) parts.push({ r0: first, r1: first + 1, c0: head, c1: cols });
  const r0 = head > 0 ? first + 1 : first;
  const r1 = tail < cols ? last : last + 1;
  if (r1 > r0) parts.push({ r0, r1, c0: 0, c1: cols });
  if (tail < cols) parts.push({ r0: last, r1: last + 1, c0: 0, c1: tail });
  const width = elementBytes(expr.dtype);
  const out = context.alloc((end - start) * width);
  let at = 0;
  for (const part of parts) {
    out.set(context.window(expr, part), at);
    at += windowCount(part) * width;
  }
  return out;
}

/** Input columns of a slice along inner axes, or of a gather, kept per expression. */
const columnsOf = new WeakMap<TensorExpr, Uint32Array>();

export const slice: Rule<SliceExpr> = (expr, { r0, r1, c0, c1 }, context) => {
  const { input, starts, shape } = expr;
  if (shape.length === 0) return context.window(input, { r0, r1, c0, c1 });
  const rows = { r0: r0 + starts[0]!, r1: r1 + starts[0]! };
  const inner = input.shape.slice(1);
  // Only axis 1 is cut: the columns stay in one piece.
  if (inner.every((dim, axis) => axis === 0 || dim === shape[axis + 1])) {
    const shift = inner.length === 0 ? 0 : starts[1]! * elementCount(inner.slice(1));
    return context.window(input, { ...rows, c0: c0 + shift, c1: c1 + shift });
  }
  let columns = columnsOf.get(expr);
  if (!columns) {
    const strides = stridesOf(inner);
    const start = strides.reduce((sum, stride, axis) => sum + stride * starts[axis + 1]!, 0);
    columnsOf.set(expr, (columns = strided(shape.slice(1), strides, start)));
  }
  return pickColumns(input, columns, { ...rows, c0, c1 }, context);
};

export const gather: Rule<GatherExpr> = (expr, window, context) => {
  const { input, indices, axis } = expr;
  if (axis === 0) return gatherRows(expr, window, context);
  let columns = columnsOf.get(expr);
  if (!columns) {
    const picked = readIndices(indices, wholeWindow(indices.shape), input.shape[axis]!, context);
    const inner = input.shape.slice(1);
    const strides = stridesOf(inner);
    const positions = strided(expr.shape.slice(1).map((dim, i) => (i === axis - 1 ? 1 : dim)), strides, 0);
    columns = spread(positions, picked, elementCount(expr.shape.slice(axis + 1)), strides[axis - 1]!);
    columnsOf.set(expr, columns);
  }
  return pickColumns(input, columns, window, context);
};

/** Every position of the outer axes × every index × every position of the inner axes. */
function spread(positions: Uint32Array, picked: readonly number[], inner: number, stride: number): Uint32Array {
  const out = new Uint32Array(positions.length * picked.length);
  let at = 0;
  for (let outer = 0; outer < positions.length; outer += inner) {
    for (const index of picked) for (let i = 0; i < inner; i++) out[at++] = positions[outer + i]! + index * stride;
  }
  return out;
}

/** Neighbouring rows are taken together. */
function gatherRows({ input, indices, dtype }: GatherExpr, { r0, r1, c0, c1 }: Window, context: EvaluationContext): Uint8Array {
  const rows = readIndices(indices, { r0, r1, c0: 0, c1: 1 }, input.shape[0]!, context);
  const band = (c1 - c0) * elementBytes(dtype);
  const out = context.alloc(rows.length * band);
  for (let i = 0; i < rows.length; ) {
    let end = i + 1;
    while (end < rows.length && rows[end] === rows[end - 1]! + 1) end++;
    out.set(context.window(input, { r0: rows[i]!, r1: rows[end - 1]! + 1, c0, c1 }), i * band);
    i = end;
  }
  return out;
}

function readIndices(indices: TensorExpr, window: Window, size: number, context: EvaluationContext): number[] {
  const data = typedView(indices.dtype, context.window(indices, window));
  return Array.from(data as ArrayLike<number | bigint>, (value) => {
    const index = Number(value);
    const at = index < 0 ? index + size : index;
    if (!(at >= 0 && at < size)) throw new PenjingError('E_SHAPE', `gather index ${index} is outside ${size}`);
    return at;
  });
}

export const concat: Rule<ConcatExpr> = (expr, window, context) => {
  const { inputs, axis } = expr;
  const { r0, r1, c0, c1 } = window;
  const width = elementBytes(expr.dtype);
  const out = context.alloc(windowCount(window) * width);
  const band = (c1 - c0) * width;
  if (axis === 0) {
    let start = 0;
    for (const input of inputs) {
      const end = start + input.shape[0]!;
      const from = Math.max(r0, start);
      const to = Math.min(r1, end);
      if (from < to) out.set(context.window(input, { r0: from - start, r1: to - start, c0, c1 }), (from - r0) * band);
      start = end;
    }
    return out;
  }
  // Inside a row the inputs alternate: once per index of the axes between 0 and `axis`.
  const pieces = inputs.map((input) => elementCount(input.shape.slice(axis)));
  const period = pieces.reduce((sum, piece) => sum + piece, 0);
  let start = 0;
  inputs.forEach((input, i) => {
    const piece = pieces[i]!;
    for (let repeat = 0, at = start; at < c1; repeat++, at += period) {
      const from = Math.max(c0, at);
      const to = Math.min(c1, at + piece);
      if (from >= to) continue;
      const shift = repeat * piece - at;
      const bytes = context.window(input, { r0, r1, c0: from + shift, c1: to + shift });
      const run = (to - from) * width;
      for (let r = 0; r < r1 - r0; r++) out.set(bytes.subarray(r * run, (r + 1) * run), r * band + (from - c0) * width);
    }
    start += piece;
  });
  return out;
};
