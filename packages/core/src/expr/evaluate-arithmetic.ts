/** Element-wise arithmetic in float32 with broadcasting, and masks. */
import { sameShape, type Shape, stridesOf } from '../shape.js';
import { floatsOf, fromFloats } from './evaluate-cast.js';
import type { ArithmeticExpr, MaskExpr, TensorExpr } from './tensor-expr.js';
import { typedView } from '../dtype.js';
import { elementBytes, type EvaluationContext, type Rule, type Window, windowCount } from './window.js';

export const arithmetic: Rule<ArithmeticExpr> = (expr, window, context) => {
  const a = broadcastFloats(expr.a, expr.shape, window, context);
  const b = broadcastFloats(expr.b, expr.shape, window, context);
  const count = windowCount(window);
  const sums = typedView('float32', context.alloc(count * 4)) as Float32Array;
  const cols = window.c1 - window.c0;
  const multiply = expr.op === 'multiply';
  for (let r = 0, at = 0; r * cols < count; r++) {
    for (let c = 0; c < cols; c++, at++) {
      const x = a.floats[a.rowStep * r + a.colOf(c)]!;
      const y = b.floats[b.rowStep * r + b.colOf(c)]!;
      sums[at] = multiply ? x * y : x + y;
    }
  }
  if (expr.dtype === 'float32') return new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength);
  const out = context.alloc(count * elementBytes(expr.dtype));
  fromFloats(expr.dtype, sums, out, context);
  return out;
};

export const mask: Rule<MaskExpr> = (expr, window, context) => {
  const bytes = context.window(expr.input, window);
  const keep = broadcastWindow(expr.mask, expr.shape, window, context);
  const width = elementBytes(expr.dtype);
  const cols = window.c1 - window.c0;
  const out = context.alloc(bytes.byteLength);
  out.set(bytes);
  for (let r = 0; r < window.r1 - window.r0; r++) {
    for (let c = 0; c < cols; c++) {
      if (keep.bytes[keep.rowStep * r + keep.colOf(c)] === 0) out.fill(0, (r * cols + c) * width, (r * cols + c + 1) * width);
    }
  }
  return out;
};

/** A window of an operand that broadcasts to `shape`: element (r, c) of the window is at `rowStep`·r + `colOf`(c). */
interface Broadcast {
  readonly bytes: Uint8Array;
  readonly rowStep: number;
  readonly colOf: (col: number) => number;
}

function broadcastFloats(expr: TensorExpr, shape: Shape, window: Window, context: EvaluationContext): Broadcast & { floats: Float32Array } {
  const operand = broadcastWindow(expr, shape, window, context);
  return { ...operand, floats: floatsOf(expr.dtype, operand.bytes, context) };
}

const sameColumn = (col: number): number => col;
const firstColumn = (): number => 0;

function broadcastWindow(expr: TensorExpr, shape: Shape, window: Window, context: EvaluationContext): Broadcast {
  const { r0, r1, c0, c1 } = window;
  if (sameShape(expr.shape, shape)) {
    return { bytes: context.window(expr, window), rowStep: c1 - c0, colOf: sameColumn };
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
  const colOf = cols === colsOut ? sameColumn : cols === 1 ? firstColumn : columnMap(inner, innerShape, c0);
  const repeats = dim0 !== shape[0];
  return { bytes, rowStep: repeats ? 0 : band.c1 - band.c0, colOf };
}

/** Column of the operand for each column of the result, both of several dimensions. */
function columnMap(inner: Shape, innerShape: Shape, c0: number): (col: number) => number {
  const outStrides = stridesOf(innerShape);
  const strides = stridesOf(inner).map((stride, i) => (inner[i] === 1 ? 0 : stride));
  return (col) => {
    let rest = col + c0;
    let at = 0;
    for (let i = 0; i < outStrides.length; i++) {
      const index = Math.floor(rest / outStrides[i]!);
      rest -= index * outStrides[i]!;
      at += index * strides[i]!;
    }
    return at;
  };
}
