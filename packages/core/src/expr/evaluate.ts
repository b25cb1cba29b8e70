/** Evaluates expressions by row ranges. */
import type { RowRange } from '../tensor.js';
import type { TensorExpr } from './tensor-expr.js';

/** Reads bytes [offset, offset + length) of a source. */
export type ReadRange = (source: string, offset: number, length: number) => Promise<Uint8Array>;

export function evaluateRows(_expr: TensorExpr, _range: RowRange, _read: ReadRange): Promise<Uint8Array> {
  return Promise.reject(new Error('under construction'));
}
