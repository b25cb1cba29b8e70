/** Argument checks of the dense panels. */
import type { ColumnGrid, ProjectRowsArgs } from '../kernels.js';
import { argumentError, expectLength } from './check.js';

/** Rows that a panel may have: its triangle and some strips of columns fit the second-level cache. */
export const MAX_PANEL = 256;

/** Checks arrays, each with its rows and columns. */
export function checkPanel(arrays: Readonly<Record<string, readonly [array: Float32Array, rows: number, cols: number]>>): void {
  for (const [name, [array, rows, cols]] of Object.entries(arrays)) {
    if (!(Number.isSafeInteger(rows) && rows >= 0 && rows <= MAX_PANEL)) throw argumentError(`${name} has ${rows} rows: a panel has at most ${MAX_PANEL}`);
    expectLength(name, array.length, rows * cols);
  }
}

/** Whether every row has grids of its own. */
export function hasGridPerRow({ scales }: Pick<ColumnGrid, 'scales'>, rows: number, cols: number): boolean {
  return rows !== 1 && scales.length === rows * cols;
}

export function checkProjection({ rows, cols, lower, weights, carried, keep, grid, values, differences }: ProjectRowsArgs): void {
  checkPanel({
    lower: [lower, rows, rows],
    weights: [weights, rows, cols],
    carried: [carried, rows, cols],
    values: [values, rows, cols],
    differences: [differences, rows, cols],
  });
  if (keep) expectLength('keep', keep.length, rows * cols);
  if (!grid) return;
  if (!(Number.isInteger(grid.highest) && grid.highest > 0 && grid.highest < 256)) throw argumentError(`codes up to ${grid.highest}: 1 to 255 are possible`);
  expectLength('scales', grid.scales.length, hasGridPerRow(grid, rows, cols) ? rows * cols : cols);
  expectLength('zeroPoints', grid.zeroPoints.length, grid.scales.length);
  expectLength('codes', grid.codes.length, rows * cols);
}
