/** Which weights keep their zeros while they are trained. */
import type { GridConstraint } from '@penjing/distill';

/** Zeros that no rounding to 4 bits or more makes of weights that were not pruned: of a bell curve it makes a tenth. */
const PRUNED_SHARE = 0.4;
const FOUR_BITS = 15;

/**
 * `pruned` are weights with zeros, and their shares. Of integers most zeros are what is nearest to small weights, and training must be free to move them, of 2 bits half of them: there a weight counts as
 * pruned when rounding alone cannot explain its zeros, or when it is said so.
 */
export function heldZeros(pruned: ReadonlyMap<string, number>, grids: readonly Pick<GridConstraint, 'weight' | 'lowest' | 'highest'>[], said: 'hold' | 'train' | undefined): string[] {
  const levels = new Map(grids.map(({ weight, lowest, highest }) => [weight, highest - lowest + 1]));
  return [...pruned].flatMap(([name, share]) => {
    const count = levels.get(name);
    return said === 'hold' || count === undefined || (count >= FOUR_BITS && share >= PRUNED_SHARE) ? [name] : [];
  });
}
