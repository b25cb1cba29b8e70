/** Ranks of one process that meet in memory: the exchange of tests, and what others must do like. */
import { PenjingError } from '@penjing/core';
import type { GradientExchange, Round, RoundResult } from '../gradient-exchange.js';

/** `onRound` sees every round before it ends, and may throw. */
export function exchangesInMemory(world: number, onRound?: (rounds: readonly Round[]) => void): GradientExchange[] {
  let waiting: { readonly round: Round; readonly resolve: (result: RoundResult) => void; readonly reject: (error: unknown) => void }[] = [];
  let failure: PenjingError | undefined;
  const end = async (): Promise<void> => {
    const all = waiting;
    waiting = [];
    const rounds = all.map(({ round }) => round);
    try {
      onRound?.(rounds);
      const [first] = rounds as [Round];
      const vectors = await Promise.all(first.vectors.map(async (vector, i) => (first.take === 'first' ? vector : first.mean(rounds.map((round) => round.vectors[i]!)))));
      for (const { resolve } of all) resolve({ said: rounds.map(({ said }) => said), vectors: vectors.map((vector) => vector.slice()) });
    } catch (error) {
      for (const { reject } of all) reject(error);
    }
  };
  return Array.from({ length: world }, (_, rank) => ({
    rank,
    world,
    round: (round) => new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      waiting[rank] = { round, resolve, reject };
      if (waiting.filter(Boolean).length === world) void end();
    }),
    fail: (error) => {
      failure ??= new PenjingError('E_PEER', `rank ${rank} failed: ${error instanceof Error ? error.message : String(error)}`);
      for (const one of waiting.splice(0)) one?.reject(failure);
    },
  }));
}
