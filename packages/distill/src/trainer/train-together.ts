/** What a run that shares its batches with other processes does beyond one of its own: it begins alike, averages, and agrees on when to end. */
import { PenjingError } from '@penjing/core';
import type { Buffers } from '../optimizers/optimizer.js';
import type { Validation } from './checkpoints.js';
import type { GradientExchange, Said } from './gradient-exchange.js';
import { type LossAndGradients, meanOf } from './gradient-source.js';

export interface TogetherOptions {
  readonly exchange: Omit<GradientExchange, 'fail'>;
  /** Seconds, of this rank. */
  readonly now: () => number;
  readonly stopped: () => boolean;
  /** Running statistics among the weights: each rank moves its own, and their means count. */
  readonly running: Buffers;
}

export interface Together {
  /** Throws `E_OPTION` on all ranks unless all are about to do the same. */
  agree(about: Readonly<Record<string, Said>>): Promise<void>;
  /** Buffers of rank 0 take the place of everybody's; gives what rank 0 says. */
  begin(buffers: readonly Float32Array[], said: Said): Promise<Said>;
  /** Means over all ranks. */
  readonly share: (own: LossAndGradients) => Promise<LossAndGradients>;
  /** Rank 0 measures, and all take its word: a last bit that differs must not end the run of one. */
  measured(measure: () => Promise<Omit<Validation, 'step'>>): Promise<Omit<Validation, 'step'>>;
  /** The clock of rank 0 at the last step: rates and the end by time are the same everywhere. */
  readonly now: () => number;
  /** Some rank asked to stop before the last step ended. */
  readonly stopped: () => boolean;
}

export function trainTogether({ exchange, now, stopped, running }: TogetherOptions): Together {
  const { rank, world } = exchange;
  let clock = 0;
  let stop = false;
  return {
    now: () => clock,
    stopped: () => stop,
    async agree(about) {
      const { said } = await exchange.round({ vectors: [], take: 'first', said: about });
      const [first] = said as readonly Readonly<Record<string, Said>>[];
      for (const [other, its] of (said as readonly Readonly<Record<string, Said>>[]).entries()) {
        const odd = Object.keys(about).find((name) => JSON.stringify(its[name]) !== JSON.stringify(first![name]));
        if (odd !== undefined) throw new PenjingError('E_OPTION', `ranks 0 and ${other} differ in the ${odd}`, { hint: 'All ranks are started with the same model, data, seed and options.' });
      }
    },
    async begin(buffers, said) {
      const result = await exchange.round({ vectors: buffers.map((buffer) => buffer.slice()), take: 'first', said: rank === 0 ? said : null });
      buffers.forEach((buffer, i) => buffer.set(result.vectors[i]!));
      return result.said[0]!;
    },
    share: async ({ loss, gradients }) => {
      const vectors = [...gradients.values(), ...[...running.values()].map((buffer) => buffer.slice())];
      // as text: JSON has neither infinities nor NaN
      const result = await exchange.round({ vectors, take: 'mean', mean: meanOf, said: { loss: String(loss), clock: now(), stop: stopped() } });
      const said = result.said as readonly { readonly loss: string; readonly clock: number; readonly stop: boolean }[];
      clock = said[0]!.clock;
      stop = said.some((one) => one.stop);
      [...running.values()].forEach((buffer, i) => buffer.set(result.vectors[gradients.size + i]!));
      return {
        loss: said.reduce((sum, one) => sum + (1 / world) * Number(one.loss), 0),
        gradients: new Map([...gradients.keys()].map((name, i) => [name, result.vectors[i]!] as const)),
      };
    },
    async measured(measure) {
      const own = rank === 0 ? await measure() : undefined;
      const { said } = await exchange.round({ vectors: [], take: 'first', said: own ? { loss: String(own.loss), metrics: { ...own.metrics } } : null });
      const { loss, metrics } = said[0] as { readonly loss: string; readonly metrics: Readonly<Record<string, number>> };
      return { loss: Number(loss), metrics };
    },
  };
}
