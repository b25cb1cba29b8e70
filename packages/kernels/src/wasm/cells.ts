/** Pruning cell by cell by SIMD: strips of columns go through the staging area beside the tables, which stay there. */
import type { CellKernels } from '../kernels.js';
import { checkCells } from '../shared/check-cells.js';
import { JOB, STAGE, STAGE_BYTES, type Instance } from './instance.js';

/** What assembly/cells.ts keeps of sixteen columns: ends, sums, costs, masks, columns, values by depth. */
const CELL_SCRATCH = 128 + 9 * 64 + 2 * 64 + 16 * 32 + 9 * 512;
/** Columns of one search. */
const LANES = 16;

export function cellKernels({ exports, buffer }: Instance): CellKernels {
  const cost = new Float64Array(buffer, JOB, 1);
  return {
    pruneCells(args) {
      checkCells(args);
      const { rows, cols, cell, lower, weights, carried, updates, costs, searches, choices, values, differences } = args;
      let top = STAGE;
      const take = (bytes: number): number => {
        const at = top;
        top += Math.ceil(bytes / 16) * 16;
        return at;
      };
      const floats = (content: Float32Array): number => {
        const at = take(content.byteLength);
        new Float32Array(buffer, at, content.length).set(content);
        return at;
      };
      const triangle = floats(lower);
      const tables = [floats(updates), floats(costs)] as const;
      const list = take(searches.length * 8);
      const entries = new Uint32Array(buffer, list, searches.length * 2);
      for (const [i, search] of searches.entries()) {
        const at = take(search.byteLength);
        new Uint16Array(buffer, at, search.length).set(search);
        entries.set([at, search.length], i * 2);
      }
      const scratch = take(CELL_SCRATCH);
      const cells = Math.ceil(rows / cell);
      // weights and what is carried, rows of a cell, the order of columns, and their choices
      const perColumn = rows * 8 + 8 * 4 + 4 + cells;
      const wide = Math.floor((STAGE + STAGE_BYTES - top - 64) / perColumn / LANES) * LANES;
      const strip = Math.min(wide - LANES, Math.ceil(cols / LANES) * LANES);
      // rows that lie a power of two apart would share the sets of the first-level cache
      const pitch = strip + LANES;
      const made = take(rows * pitch * 4);
      const left = take(rows * pitch * 4);
      const target = take(8 * pitch * 4);
      const order = take(strip * 4);
      const chosen = take(cells * strip);
      cost[0] = 0;
      const words = new Uint32Array(buffer, JOB + 16, 16);
      for (let from = 0; from < cols; from += strip) {
        const used = Math.min(strip, cols - from);
        const width = Math.ceil(used / LANES) * LANES;
        const views = [rowsOf(made, weights), rowsOf(left, carried)];
        for (const { row, matrix } of views) {
          for (let i = 0; i < rows; i++) {
            const staged = row(i, width);
            staged.set(matrix.subarray(i * cols + from, i * cols + from + used));
            staged.fill(0, used);
          }
        }
        for (let i = 0; i < cells; i++) new Uint8Array(buffer, chosen + i * width, used).set(choices.subarray(i * cols + from, i * cols + from + used));
        words.set([rows, width, used, pitch * 4, cell, triangle, made, left, ...tables, chosen, list, searches.length, target, order, scratch]);
        exports.pruneCells(JOB + 16, JOB);
        for (const [at, matrix] of [[made, values], [left, differences]] as const) {
          for (let i = 0; i < rows; i++) matrix.set(new Float32Array(buffer, at + i * pitch * 4, used), i * cols + from);
        }
      }
      return cost[0];

      function rowsOf(at: number, matrix: Float32Array) {
        return { matrix, row: (i: number, width: number) => new Float32Array(buffer, at + i * pitch * 4, width) };
      }
    },
  };
}
