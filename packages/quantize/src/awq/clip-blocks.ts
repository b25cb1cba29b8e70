/** Cuts off the largest weights of each block where that lowers the error of the output (Lin et al. 2023, appendix; AutoClip of the authors' code). */
import type { TaskOptions } from '@penjing/core';
import type { Products } from '@penjing/core/linalg';
import { type Rounding, roundingErrors, type Rows } from './round-trip.js';

export interface ClipBlocksOptions extends Pick<TaskOptions, 'signal'>, Rounding {
  /** XᵀX of the inputs as these rows see them, (size, size). */
  readonly hessian: Float32Array;
  readonly products: Products;
}

/** Blocks are cut to 19/20, 18/20, … 11/20 of their largest magnitude. */
const STEPS = 10;
const PARTS = 20;

/** The rows, every block cut so that its grid is best for it alone: (w − q)ᵀ H (w − q) over the inputs of the block is least among the steps. */
export async function clipBlocks(rows: Rows, { hessian, products, signal, ...rounding }: ClipBlocksOptions): Promise<Float32Array> {
  const { data, cols, size } = rows;
  const { blockSize } = rounding.scheme;
  const blocks = Math.ceil(size / blockSize);
  const metrics = Array.from({ length: blocks }, (_, b) => diagonalBlock(hessian, size, b * blockSize, Math.min(size, (b + 1) * blockSize)));
  const most = largest(rows, blockSize, blocks);
  const best = new Float32Array(cols * blocks).fill(1);
  const least = new Float64Array(cols * blocks).fill(Infinity);
  const tried = new Float32Array(data.length);
  for (let step = 0; step < STEPS; step++) {
    signal?.throwIfAborted();
    const part = 1 - step / PARTS;
    const differences = roundingErrors(rows, rounding, cut(rows, blockSize, blocks, (at) => most[at]! * part, tried));
    for (const [b, metric] of metrics.entries()) {
      const from = b * blockSize;
      const to = Math.min(size, from + blockSize);
      const width = to - from;
      const moved = await products.multiply({ data: differences, rows: cols, cols: size, window: [from, to] }, { data: metric, rows: width, cols: width });
      for (let c = 0; c < cols; c++) {
        let cost = 0;
        for (let i = 0; i < width; i++) cost += differences[c * size + from + i]! * moved[c * width + i]!;
        const at = c * blocks + b;
        if (!(cost < least[at]!)) continue;
        least[at] = cost;
        best[at] = part;
      }
    }
  }
  return cut(rows, blockSize, blocks, (at) => most[at]! * best[at]!, tried);
}

function diagonalBlock(hessian: Float32Array, size: number, from: number, to: number): Float32Array {
  const width = to - from;
  const out = new Float32Array(width * width);
  for (let i = 0; i < width; i++) out.set(hessian.subarray((from + i) * size + from, (from + i) * size + to), i * width);
  return out;
}

/** max |w| of each block, (cols, blocks). */
function largest({ data, cols, size }: Rows, blockSize: number, blocks: number): Float32Array {
  const most = new Float32Array(cols * blocks);
  for (let c = 0; c < cols; c++) {
    for (let b = 0; b < blocks; b++) {
      let largest = 0;
      const end = c * size + Math.min(size, (b + 1) * blockSize);
      for (let i = c * size + b * blockSize; i < end; i++) {
        const magnitude = Math.abs(data[i]!);
        if (magnitude > largest) largest = magnitude;
      }
      most[c * blocks + b] = largest;
    }
  }
  return most;
}

/** Fills `out`. */
function cut({ data, cols, size }: Rows, blockSize: number, blocks: number, limit: (at: number) => number, out: Float32Array): Float32Array {
  for (let c = 0; c < cols; c++) {
    for (let b = 0; b < blocks; b++) {
      const most = limit(c * blocks + b);
      const end = c * size + Math.min(size, (b + 1) * blockSize);
      for (let i = c * size + b * blockSize; i < end; i++) {
        const weight = data[i]!;
        out[i] = weight > most ? most : weight < -most ? -most : weight;
      }
    }
  }
  return out;
}
