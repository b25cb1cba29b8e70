/** Weights on integer grids in float32: every operation rounds once, so that they equal the SIMD kernels bit for bit, sums of neighbours aside. */
import type { ProjectOnGridArgs, StraightThroughArgs, WeightGrid } from '../grid-kernels.js';
import { checkSameLength } from '../shared/check.js';
import { checkGrid } from '../shared/check-grid.js';

const f = Math.fround;

/** Half to even, for |x| below 2²², where halves can be. */
const SHIFT = 1.5 * 2 ** 52;
function nearest(x: number): number {
  if (!(Math.abs(x) < 2 ** 22)) return x;
  // −0.3 becomes −0, as in the vector instruction
  return x + SHIFT - SHIFT || x * 0;
}

interface Block {
  /** Where its first weight lies, and the step from one to the next. */
  readonly at: number;
  readonly stride: number;
  readonly size: number;
  readonly scale: number;
  readonly inverse: number;
  readonly low: number;
  readonly high: number;
}

function eachBlock({ outer, length, inner, block, scales, zeros, lowest, highest }: WeightGrid, visit: (block: Block, index: number) => void): void {
  const blocks = Math.ceil(length / block);
  for (let o = 0, index = 0; o < outer; o++) for (let b = 0; b < blocks; b++) for (let i = 0; i < inner; i++, index++) {
    const scale = scales[index]!;
    const zero = zeros ? zeros[index]! : 0;
    visit({
      at: (o * length + b * block) * inner + i, stride: inner, size: Math.min(block, length - b * block),
      scale, inverse: scale === 0 ? 0 : f(1 / scale), low: f(f(lowest) - zero), high: f(f(highest) - zero),
    }, index);
  }
}

const clip = (steps: number, { low, high }: Block): number => (steps < low ? low : steps > high ? high : steps);

export function projectOnGrid({ from, to, grid }: ProjectOnGridArgs): void {
  checkSameLength(from, to);
  checkGrid(grid, from);
  eachBlock(grid, (block) => {
    for (let i = 0, at = block.at; i < block.size; i++, at += block.stride) to[at] = f(block.scale * nearest(clip(f(from[at]! * block.inverse), block)));
  });
}

export function straightThrough({ gradients, latent, grid, sums }: StraightThroughArgs): void {
  checkSameLength(gradients, latent);
  checkSameLength(sums, grid.scales);
  checkGrid(grid, latent);
  // columns of lines are summed in float32
  const add = grid.inner === 1 ? (sum: number, share: number) => sum + share : (sum: number, share: number) => f(sum + share);
  eachBlock(grid, (block, index) => {
    let sum = 0;
    for (let i = 0, at = block.at; i < block.size; i++, at += block.stride) {
      const value = latent[at]!;
      const steps = f(value * block.inverse);
      const inside = steps >= block.low && steps <= block.high;
      const rounded = f(block.scale * nearest(clip(steps, block)));
      sum = add(sum, f(gradients[at]! * f(rounded - (inside ? value : 0))));
      if (!inside) gradients[at] = 0;
    }
    sums[index] = sum;
  });
}
