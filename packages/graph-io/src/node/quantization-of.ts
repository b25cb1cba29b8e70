/** Recognises the outputs of a quantization, so that values, scales and zero points are computed together. */
import { matrixView, type MultiExpr, type TensorExpr } from '@penjing/core';

export interface Quantization {
  readonly of: MultiExpr;
  /** True when the output is stored transposed: it is cut along the blocks, not along the rows. */
  readonly turned: boolean;
  /** Rows of this output per row (turned: per block) of the quantization. */
  readonly unitRows: number;
}

/** Undefined when `expr` is something else, or an output under a shape that cannot be cut with the others. */
export function quantizationOf(expr: TensorExpr): Quantization | undefined {
  let inner = expr;
  let turned = false;
  for (;;) {
    if (inner.op === 'cast' || (inner.op === 'reshape' && !turned)) inner = inner.input;
    // One number for all elements: codes moved from unsigned to signed.
    else if (inner.op === 'add' && inner.b.op === 'fill' && inner.b.shape.length === 0) inner = inner.a;
    else if (inner.op === 'transpose' && inner.perm.length === 2) {
      turned = !turned;
      inner = inner.input;
    } else break;
  }
  if (inner.op !== 'output') return undefined;
  const { of } = inner;
  const { rows } = matrixView(expr.shape);
  const quantizedRows = of.shape[0]!;
  if (!turned) {
    return quantizedRows > 0 && rows % quantizedRows === 0 ? { of, turned, unitRows: rows / quantizedRows } : undefined;
  }
  const blocks = Math.ceil(of.shape[1]! / of.scheme.blockSize);
  if (rows === blocks) return { of, turned, unitRows: 1 };
  if (rows === of.shape[1]) return { of, turned, unitRows: of.scheme.blockSize };
  return undefined;
}
