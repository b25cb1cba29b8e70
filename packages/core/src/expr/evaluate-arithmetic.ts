/** Element-wise arithmetic in float32 with broadcasting, and masks. */
import { sameShape, type Shape, stridesOf } from '../shape.js';
import { floatsOf, fromFloats } from './evaluate-cast.js';
import type { ArithmeticExpr, MaskExpr, MatMulExpr, TensorExpr } from './tensor-expr.js';
import { typedView } from '../dtype.js';
import { elementBytes, type EvaluationContext, type Rule, type Window, windowCount } from './window.js';

export const arithmetic: Rule<ArithmeticExpr> = (expr, window, context) => {
  let a = broadcastFloats(expr.a, expr.shape, window, context);
  let b = broadcastFloats(expr.b, expr.shape, window, context);
  const count = windowCount(window);
  const sums = typedView('float32', context.alloc(count * 4)) as Float32Array;
  const cols = window.c1 - window.c0;
  // Kernels take one number for all on the right; sums and products do not mind the order.
  if (a.rowStep === 0 || a.columns !== 'same') [a, b] = [b, a];
  const { kernels } = context;
  const kernel = (x: Float32Array, y: Float32Array, into: Float32Array): void => kernels[expr.op](x, y, into);
  const oneForAll = b.rowStep === 0 && (b.columns === 'first' || (cols === 1 && b.columns === 'same'));
  if (a.columns === 'same' && a.rowStep === cols && (oneForAll || (b.columns === 'same' && b.rowStep === cols))) {
    kernel(a.floats, oneForAll ? b.floats.subarray(0, 1) : b.floats, sums);
  } else {
    const left = rowReader(a, cols);
    const right = rowReader(b, cols);
    for (let r = 0; r < window.r1 - window.r0; r++) kernel(left(r, true), right(r, false), sums.subarray(r * cols, (r + 1) * cols));
  }
  if (expr.dtype === 'float32') return new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength);
  const out = context.alloc(count * elementBytes(expr.dtype));
  fromFloats(expr.dtype, sums, out, context);
  return out;
};

/** Rows of an operand, `cols` numbers each; one that is the same in every column stays one number unless `wide`. */
function rowReader({ floats, rowStep, columns }: Broadcast & { floats: Float32Array }, cols: number): (row: number, wide: boolean) => Float32Array {
  if (columns === 'same') return (row) => floats.subarray(rowStep * row, rowStep * row + cols);
  const spread = new Float32Array(cols);
  return (row, wide) => {
    const from = rowStep * row;
    if (columns === 'first') return wide ? spread.fill(floats[from]!) : floats.subarray(from, from + 1);
    for (let c = 0; c < cols; c++) spread[c] = floats[from + columns[c]!]!;
    return spread;
  };
}

export const matmul: Rule<MatMulExpr> = (expr, { r0, r1, c0, c1 }, context) => {
  const { a, b } = expr;
  const inner = a.shape[1]!;
  const cols = c1 - c0;
  const left = floatsOf(a.dtype, context.window(a, { r0, r1, c0: 0, c1: inner }), context);
  const right = floatsOf(b.dtype, context.window(b, { r0: 0, r1: inner, c0, c1 }), context);
  const out = context.alloc((r1 - r0) * cols * 4);
  const sums = typedView('float32', out) as Float32Array;
  sums.fill(0);
  for (let r = 0; r < r1 - r0; r++) {
    const row = sums.subarray(r * cols, (r + 1) * cols);
    for (let k = 0; k < inner; k++) {
      const factor = left[r * inner + k]!;
      const other = right.subarray(k * cols, (k + 1) * cols);
      for (let c = 0; c < cols; c++) row[c] = row[c]! + factor * other[c]!;
    }
  }
  return out;
};

export const mask: Rule<MaskExpr> = (expr, window, context) => {
  const bytes = context.window(expr.input, window);
  const { bytes: keep, rowStep, columns } = broadcastWindow(expr.mask, expr.shape, window, context);
  const out = context.alloc(bytes.byteLength);
  out.set(bytes);
  const width = elementBytes(expr.dtype);
  // Words that hold an element, or a part of one.
  const words = width === 1 ? out : width === 2 ? new Uint16Array(out.buffer, out.byteOffset, out.byteLength / 2) : new Uint32Array(out.buffer, out.byteOffset, out.byteLength / 4);
  const perElement = width / words.BYTES_PER_ELEMENT;
  const cols = window.c1 - window.c0;
  for (let r = 0; r < window.r1 - window.r0; r++) {
    for (let c = 0; c < cols; c++) {
      const column = columns === 'same' ? c : columns === 'first' ? 0 : columns[c]!;
      if (keep[rowStep * r + column] !== 0) continue;
      const at = (r * cols + c) * perElement;
      for (let word = 0; word < perElement; word++) words[at + word] = 0;
    }
  }
  return out;
};

/** A window of an operand that broadcasts to `shape`: element (r, c) of the window is at `rowStep`·r + c, or 0, or `columns`[c]. */
interface Broadcast {
  readonly bytes: Uint8Array;
  readonly rowStep: number;
  readonly columns: 'same' | 'first' | Uint32Array;
}

function broadcastFloats(expr: TensorExpr, shape: Shape, window: Window, context: EvaluationContext): Broadcast & { floats: Float32Array } {
  const operand = broadcastWindow(expr, shape, window, context);
  return { ...operand, floats: floatsOf(expr.dtype, operand.bytes, context) };
}

function broadcastWindow(expr: TensorExpr, shape: Shape, window: Window, context: EvaluationContext): Broadcast {
  const { r0, r1, c0, c1 } = window;
  if (sameShape(expr.shape, shape)) {
    return { bytes: context.window(expr, window), rowStep: c1 - c0, columns: 'same' };
  }
  // The operand with as many dimensions as the result, as a matrix (dimension 0, everything else).
  const padded = [...new Array<number>(shape.length - expr.shape.length).fill(1), ...expr.shape];
  const view: TensorExpr = padded.length === expr.shape.length ? expr : { op: 'reshape', dtype: expr.dtype, shape: padded, input: expr };
  const [dim0 = 1, ...inner] = padded;
  const innerShape = shape.slice(1);
  const rows = dim0 === shape[0] ? { r0, r1 } : { r0: 0, r1: 1 };
  const cols = inner.reduce((product, dim) => product * dim, 1);
  const colsOut = innerShape.reduce((product, dim) => product * dim, 1);
  const band = cols === colsOut ? { c0, c1 } : { c0: 0, c1: cols };
  const bytes = context.window(view, { ...rows, ...band });
  const columns = cols === colsOut ? 'same' : cols === 1 ? 'first' : columnMap(inner, innerShape, c0, c1);
  const repeats = dim0 !== shape[0];
  return { bytes, rowStep: repeats ? 0 : band.c1 - band.c0, columns };
}

/** Column of the operand for columns c0…c1 of the result, both of several dimensions. */
function columnMap(inner: Shape, innerShape: Shape, c0: number, c1: number): Uint32Array {
  const outStrides = stridesOf(innerShape);
  const strides = stridesOf(inner).map((stride, i) => (inner[i] === 1 ? 0 : stride));
  return Uint32Array.from({ length: c1 - c0 }, (_, col) => {
    let rest = col + c0;
    let at = 0;
    for (let i = 0; i < outStrides.length; i++) {
      const index = Math.floor(rest / outStrides[i]!);
      rest -= index * outStrides[i]!;
      at += index * strides[i]!;
    }
    return at;
  });
}
