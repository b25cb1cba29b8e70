/** A moving average of weights, which often is the better model. */
import type { Optimizer } from './optimizer.js';

/**
 * Behind an optimizer in a chain: keeps `average/NAME` in the state, a ← decay a + (1 − decay) w from the first weights on (Polyak and Juditsky 1992, with forgetting).
 */
export function movingAverage(decay = 0.999): Optimizer {
  return {
    init: (weights) => new Map([...weights].map(([name, weight]) => [`average/${name}`, weight.slice()] as const)),
    update(weights, _, state) {
      for (const [name, weight] of weights) {
        const average = state.get(`average/${name}`)!;
        for (let i = 0; i < weight.length; i++) average[i] = decay * average[i]! + (1 - decay) * weight[i]!;
      }
    },
  };
}
