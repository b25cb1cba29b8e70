/** Ranks of one process that meet in memory: the exchange of tests, and what others must do like. */
import { addScaled } from '../gradient-source.js';
import type { GradientExchange, Round, RoundResult } from '../gradient-exchange.js';

/** `onRound` sees every round before it ends, and may throw. */
export function exchangesInMemory(world: number, onRound?: (rounds: readonly Round[]) => void): GradientExchange[] {
  let waiting: { readonly round: Round; readonly resolve: (result: RoundResult) => void; readonly reject: (error: unknown) => void }[] = [];
  const end = (): void => {
    const all = waiting;
    waiting = [];
    const rounds = all.map(({ round }) => round);
    try {
      onRound?.(rounds);
      for (const { resolve } of all) resolve({ said: rounds.map(({ said }) => said), vectors: rounds[0]!.vectors.map((first, i) => (rounds[0]!.take === 'first' ? first.slice() : mean(rounds.map(({ vectors }) => vectors[i]!)))) });
    } catch (error) {
      for (const { reject } of all) reject(error);
    }
  };
  return Array.from({ length: world }, (_, rank) => ({
    rank,
    world,
    round: (round) => new Promise((resolve, reject) => {
      waiting[rank] = { round, resolve, reject };
      if (waiting.filter(Boolean).length === world) end();
    }),
  }));
}

function mean(vectors: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(vectors[0]!.length);
  for (const vector of vectors) addScaled(result, vector, 1 / vectors.length);
  return result;
}
