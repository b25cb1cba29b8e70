/** An exchange reached from another thread: rounds, means and failures cross the port both ways. */
import { PenjingError } from '@penjing/core';
import { expect, test } from 'vitest';
import { exchangeAt, serveExchange } from './exchange-port.js';
import type { GradientExchange, Mean } from './gradient-exchange.js';

/** Means of what came in and of ones. */
const withOnes: GradientExchange = {
  rank: 0,
  world: 2,
  async round(round) {
    const vectors = await Promise.all(round.vectors.map(async (vector) => (round.take === 'mean' ? round.mean([vector, new Float32Array(vector.length).fill(1)]) : vector)));
    return { vectors, said: [round.said, null] };
  },
  fail: () => {},
};

test('means are computed by who waits for the round', async () => {
  using served = serveExchange(withOnes);
  using there = exchangeAt(served);
  const seen: number[] = [];
  const mean: Mean = (parts) => {
    seen.push(parts.length);
    return Float32Array.from(parts[0]!, (value, i) => (value + parts[1]![i]!) / 2);
  };
  // a view: the other half of its memory stays here
  const view = Float32Array.of(9, 3, 5, 9).subarray(1, 3);
  const { vectors, said } = await there.round({ vectors: [view, Float32Array.of(7)], take: 'mean', mean, said: 'a' });
  expect([vectors, said, seen]).toEqual([[Float32Array.of(2, 3), Float32Array.of(4)], ['a', null], [2, 2]]);
  expect(await there.round({ vectors: [Float32Array.of(7)], take: 'first', said: 1 })).toEqual({ vectors: [Float32Array.of(7)], said: [1, null] });
});

test('what either side throws ends the round with its code', async () => {
  using served = serveExchange(withOnes);
  using there = exchangeAt(served);
  const mean: Mean = () => {
    throw new PenjingError('E_LIMIT', 'no room');
  };
  await expect(there.round({ vectors: [Float32Array.of(7)], take: 'mean', mean, said: 1 })).rejects.toMatchObject({ code: 'E_LIMIT', message: 'no room' });
  using refusing = serveExchange({ ...withOnes, round: () => Promise.reject(new PenjingError('E_PEER', 'rank 1 is lost', { hint: 'again' })) });
  using asking = exchangeAt(refusing);
  await expect(asking.round({ vectors: [], take: 'first', said: 1 })).rejects.toMatchObject({ code: 'E_PEER', hint: 'again' });
});
