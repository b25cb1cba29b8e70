/** Weights on integer grids by SIMD. What lies outside the memory is staged piece by piece, which stays in the second-level cache. */
import type { GridKernels, WeightGrid } from '../grid-kernels.js';
import { checkSameLength } from '../shared/check.js';
import { checkGrid } from '../shared/check-grid.js';
import { CHUNK, type Instance, STAGE, STAGE_BYTES } from './instance.js';

/** Columns or blocks of one call: what is kept of each lies in front of the staged weights. */
const PARAMETERS = 2048;
/** Five float32 of each column; of each block a float64 and two float32. */
const PARAMETER_BYTES = 20 * PARAMETERS;
const PIECES = STAGE + PARAMETER_BYTES;

/** Two arrays of weights; what is written of them. */
type Pair = readonly [first: Float32Array, second: Float32Array, written: 0 | 1];

export function gridKernels(instance: Instance): GridKernels {
  const { exports, buffer } = instance;
  const room = Math.min(CHUNK, Math.floor((STAGE_BYTES - PARAMETER_BYTES) / 32) * 4);
  const stages = [new Float32Array(buffer, PIECES, room), new Float32Array(buffer, PIECES + room * 4, room)] as const;

  /** Calls `kernel` with the places of `count` weights of both arrays from `at` on. */
  function onPiece([first, second, written]: Pair, at: number, count: number, kernel: (first: number, second: number) => void): void {
    const [a, b] = [first, second].map((array, i) => {
      if (instance.holds(array)) return array.byteOffset + at * 4;
      const stage = stages[i as 0 | 1];
      if (written === 0 || i === 0) stage.set(array.subarray(at, at + count));
      return stage.byteOffset;
    }) as [number, number];
    kernel(a, b);
    const array = written === 0 ? first : second;
    if (!instance.holds(array)) array.set(stages[written].subarray(0, count), at);
  }

  /** Runs of neighbouring blocks, cut so that a piece holds whole blocks, or a part of one. `kernel` gets the positions of both arrays, of scales and zeros; `done` which blocks it was. */
  function eachRun(pair: Pair, grid: WeightGrid, kernel: (first: number, second: number, blocks: number, size: number, scales: number, zeros: number) => void, done: (first: number, blocks: number) => void): void {
    const { outer, length, block, scales, zeros } = grid;
    const perRow = Math.ceil(length / block);
    const scaleStage = new Float32Array(buffer, STAGE + 8 * PARAMETERS, PARAMETERS);
    const zeroStage = new Float32Array(buffer, STAGE + 12 * PARAMETERS, PARAMETERS);
    const run = (at: number, firstBlock: number, blocks: number, size: number): void => {
      const together = Math.max(1, Math.min(PARAMETERS, Math.floor(room / size)));
      for (let b = 0; b < blocks; b += together) {
        const count = Math.min(together, blocks - b);
        scaleStage.set(scales.subarray(firstBlock + b, firstBlock + b + count));
        if (zeros) zeroStage.set(zeros.subarray(firstBlock + b, firstBlock + b + count));
        for (let part = 0; part < size; part += room) {
          const width = Math.min(size - part, room);
          onPiece(pair, at + b * size + part, count * width, (x, y) => kernel(x, y, count, width, scaleStage.byteOffset, zeros ? zeroStage.byteOffset : 0));
          done(firstBlock + b, count);
        }
      }
    };
    const last = length % block;
    if (last === 0) return run(0, 0, outer * perRow, block);
    for (let o = 0; o < outer; o++) {
      if (perRow > 1) run(o * length, o * perRow, perRow - 1, block);
      run(o * length + (perRow - 1) * block, o * perRow + perRow - 1, 1, last);
    }
  }

  /** Lines of columns, cut into pieces of whole lines where they are short. `done` gets the sums of columns. */
  function eachLine(pair: Pair, grid: WeightGrid, kernel: (first: number, second: number, lines: number, width: number, columns: number) => void, done: (first: number, sums: Float32Array) => void): void {
    const { outer, length, inner, block, scales, zeros, lowest, highest } = grid;
    const perRow = Math.ceil(length / block);
    for (let o = 0; o < outer; o++) for (let b = 0; b < perRow; b++) for (let c = 0; c < inner; c += PARAMETERS) {
      const width = Math.min(PARAMETERS, inner - c);
      const wide = Math.ceil(width / 4) * 4;
      const first = (o * perRow + b) * inner + c;
      // read before the kernel writes over them: the weights are staged later
      stages[0].set(scales.subarray(first, first + width));
      if (zeros) stages[1].set(zeros.subarray(first, first + width));
      exports.gridColumns(stages[0].byteOffset, zeros ? stages[1].byteOffset : 0, width, lowest, highest, STAGE);
      const lines = Math.min(block, length - b * block);
      const together = width === inner ? Math.max(1, Math.floor(room / width)) : 1;
      for (let line = 0; line < lines; line += together) {
        const count = Math.min(together, lines - line);
        onPiece(pair, (o * length + b * block + line) * inner + c, count * width, (x, y) => kernel(x, y, count, width, STAGE));
      }
      done(first, new Float32Array(buffer, STAGE + 16 * wide, width));
    }
  }

  return {
    projectOnGrid({ from, to, grid }) {
      checkSameLength(from, to);
      checkGrid(grid, from);
      const pair: Pair = [from, to, 1];
      const nothing = (): void => {};
      if (grid.inner > 1) return eachLine(pair, grid, exports.projectLines, nothing);
      eachRun(pair, grid, (x, y, blocks, size, scales, zeros) => exports.projectBlocks(x, y, blocks, size, scales, zeros, grid.lowest, grid.highest), nothing);
    },
    straightThrough({ gradients, latent, grid, sums }) {
      checkSameLength(gradients, latent);
      checkSameLength(sums, grid.scales);
      checkGrid(grid, latent);
      const pair: Pair = [gradients, latent, 0];
      if (grid.inner > 1) return eachLine(pair, grid, exports.straightThroughLines, (first, columns) => sums.set(columns, first));
      const shares = new Float64Array(buffer, STAGE, PARAMETERS);
      sums.fill(0);
      shares.fill(0);
      eachRun(pair, grid, (x, y, blocks, size, scales, zeros) => exports.straightThroughBlocks(x, y, blocks, size, scales, zeros, grid.lowest, grid.highest, STAGE), (first, blocks) => {
        for (let b = 0; b < blocks; b++) sums[first + b]! += shares[b]!;
        shares.fill(0, 0, blocks);
      });
    },
  };
}
