/** Optimizers one after the other. */
import type { Buffers, Optimizer } from './optimizer.js';

/** `chain(clipByNorm(1), adamW({ rate: 1e-3 }))`: each sees what the ones before it left. */
export function chain(...links: readonly Optimizer[]): Optimizer {
  const prefix = (index: number): string => `${index}/`;
  return {
    init: (weights) => new Map(links.flatMap((link, index) => [...link.init(weights)].map(([name, buffer]) => [prefix(index) + name, buffer] as const))),
    async update(weights, gradients, state, step) {
      for (const [index, link] of links.entries()) await link.update(weights, gradients, under(state, prefix(index)), step);
    },
  };
}

function under(state: Buffers, prefix: string): Buffers {
  return new Map([...state].flatMap(([name, buffer]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), buffer] as const] : [])));
}
