/** Argument checks of the kernels for weights on integer grids, which both implementations share. */
import type { WeightGrid } from '../grid-kernels.js';
import { argumentError } from './check.js';

const isSize = (value: number): boolean => Number.isInteger(value) && value >= 1;

export function checkGrid({ outer, length, inner, block, scales, zeros }: WeightGrid, weights: Float32Array): void {
  if (![outer, length, inner, block].every(isSize)) throw argumentError(`a grid of ${outer} × ${length} × ${inner} weights in blocks of ${block}`);
  const blocks = outer * Math.ceil(length / block) * inner;
  if (weights.length !== outer * length * inner) throw argumentError(`a grid of ${outer * length * inner} weights for ${weights.length}`);
  if (scales.length !== blocks || (zeros && zeros.length !== blocks)) throw argumentError(`${blocks} blocks with ${scales.length} scales and ${zeros?.length ?? 'no'} zero points`);
}
