/** Transposes: of a matrix, of several axes as one, of rows alike, or of the whole tensor. */
import { PenjingError } from '../errors.js';
import { elementCount, matrixView, type Shape, stridesOf } from '../shape.js';
import { pick, pickColumns, strided } from './columns.js';
import { sharesBlocks, type TensorExpr, type TransposeExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext, type Rule, type Window, wholeWindow, windowCount } from './window.js';

/** A permutation that is no 2-D transpose in disguise and moves axis 0 is computed whole, up to this size. */
const MAX_WHOLE_BYTES = 2 ** 28;

/** What is turned at a time, in whole cache lines of the result. */
const PANEL_BYTES = 2 ** 19;
const PANEL_ROWS = 64;

/** How a permutation is carried out. */
type TransposePlan =
  /** A matrix (a, b) is turned: exactly so, or under other shapes. */
  | { readonly kind: 'matrix'; readonly expr: TensorExpr }
  /** Axis 0 stays: every row is permuted alike. */
  | { readonly kind: 'rows'; readonly columns: Uint32Array }
  | { readonly kind: 'whole'; readonly elements: Uint32Array };

const plans = new WeakMap<TransposeExpr, TransposePlan>();

export const transpose: Rule<TransposeExpr> = (expr, window, context) => {
  const [a = 1, b = 1] = expr.input.shape;
  if (expr.perm.length === 2) {
    const { r0, r1, c0, c1 } = window;
    if (a === 1 || b === 1 || c1 - c0 === 1 || r1 - r0 === 1) return context.window(expr.input, { r0: c0, r1: c1, c0: r0, c1: r1 });
    return turned(expr.input, window, context);
  }
  let plan = plans.get(expr);
  if (!plan) plans.set(expr, (plan = planTranspose(expr)));
  switch (plan.kind) {
    case 'matrix': return context.window(plan.expr, window);
    case 'rows': return pickColumns(expr.input, plan.columns, window, context);
    case 'whole': {
      const { cols } = matrixView(expr.shape);
      const all: TensorExpr = { op: 'reshape', dtype: expr.dtype, shape: [1, elementCount(expr.shape)], input: expr.input };
      const rows = Array.from({ length: window.r1 - window.r0 }, (_, i) => {
        const start = (window.r0 + i) * cols;
        return plan.elements.subarray(start + window.c0, start + window.c1);
      });
      const input = context.window(all, wholeWindow(all.shape));
      const out = context.alloc(windowCount(window) * elementBytes(expr.dtype));
      const band = (window.c1 - window.c0) * elementBytes(expr.dtype);
      rows.forEach((indices, r) => pick(input, indices, 0, elementBytes(expr.dtype), out.subarray(r * band, (r + 1) * band)));
      return out;
    }
  }
};

/** A window of a turned matrix, by panels of rows: each is turned while the caches hold it, and only one is there at a time. */
function turned(input: TensorExpr, { r0, r1, c0, c1 }: Window, context: EvaluationContext): Uint8Array {
  const width = elementBytes(input.dtype);
  const [rows, cols] = [c1 - c0, r1 - r0];
  const out = context.alloc(rows * cols * width);
  // Blocks that several outputs share are asked for as a whole by all of them, and stay.
  const isShared = sharesBlocks(input);
  const step = isShared ? rows : Math.max(PANEL_ROWS, Math.floor(PANEL_BYTES / (cols * width * PANEL_ROWS)) * PANEL_ROWS);
  for (let at = 0; at < rows; at += step) {
    const turnPanel = (): void => {
      const height = Math.min(step, rows - at);
      const bytes = context.window(input, { r0: c0 + at, r1: c0 + at + height, c0: r0, c1: r1 });
      if (width <= 8) context.kernels.transpose2d(bytes, out, height, cols, width, rows, at);
      else for (let r = 0; r < height; r++) for (let c = 0; c < cols; c++) out.set(bytes.subarray((r * cols + c) * width, (r * cols + c + 1) * width), (c * rows + at + r) * width);
    };
    if (isShared) turnPanel();
    else context.scratch(turnPanel);
  }
  return out;
}

function planTranspose(expr: TransposeExpr): TransposePlan {
  const { input, perm, dtype, shape } = expr;
  const split = rotation(perm);
  if (split > 0) {
    const rows = elementCount(input.shape.slice(0, split));
    const cols = elementCount(input.shape.slice(split));
    const matrix: TensorExpr = { op: 'reshape', dtype, shape: [rows, cols], input };
    const turned: TensorExpr = { op: 'transpose', dtype, shape: [cols, rows], input: matrix, perm: [1, 0] };
    return { kind: 'matrix', expr: { op: 'reshape', dtype, shape, input: turned } };
  }
  if (perm[0] === 0) return { kind: 'rows', columns: permutedIndices(input.shape.slice(1), perm.slice(1).map((axis) => axis - 1)) };
  const bytes = elementCount(shape) * elementBytes(dtype);
  if (bytes > MAX_WHOLE_BYTES) {
    throw new PenjingError('E_LIMIT', `a transpose [${perm.join(', ')}] of ${bytes} bytes is computed whole, at most ${MAX_WHOLE_BYTES} are`);
  }
  return { kind: 'whole', elements: permutedIndices(input.shape, perm) };
}

/** k when the permutation is k, …, n-1, 0, …, k-1: a matrix transpose of the axes before k against the rest; else 0. */
function rotation(perm: readonly number[]): number {
  const k = perm[0]!;
  return perm.every((axis, i) => axis === (i + k) % perm.length) ? k : 0;
}

/** Input position of every element of a permuted tensor. */
function permutedIndices(shape: Shape, perm: readonly number[]): Uint32Array {
  const strides = stridesOf(shape);
  return strided(perm.map((axis) => shape[axis]!), perm.map((axis) => strides[axis]!), 0);
}
