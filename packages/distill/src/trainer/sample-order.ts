/** The order in which samples are seen: a shuffled pass over all of them after another. */
import { createRng } from '@penjing/core';

/** The k-th sample of the run. Each epoch has an order of its own, which follows from the seed and its number alone: a run can go on anywhere. */
export function sampleOrder(size: number, seed: number): (k: number) => number {
  let epoch = -1;
  let order = new Uint32Array(0);
  return (k) => {
    const wanted = Math.floor(k / size);
    if (wanted !== epoch) {
      epoch = wanted;
      order = permutation(size, seed, epoch);
    }
    return order[k % size]!;
  };
}

/** Fisher and Yates, as Durstenfeld has it. */
function permutation(size: number, seed: number, epoch: number): Uint32Array<ArrayBuffer> {
  // 2^32 / φ: neighbouring epochs of neighbouring seeds do not meet.
  const rng = createRng((seed ^ Math.imul(epoch + 1, 0x9e3779b1)) >>> 0);
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
