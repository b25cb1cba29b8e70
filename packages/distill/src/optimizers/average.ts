/** A moving average of weights, which often is the better model. */
import { updateKernels } from './kernels.js';
import type { Optimizer } from './optimizer.js';

/**
 * Behind an optimizer in a chain: keeps `average/NAME` in the state, a ← decay a + (1 − decay) w from the first weights on (Polyak and Juditsky 1992, with forgetting).
 */
export function movingAverage(decay = 0.999): Optimizer {
  return {
    init: (weights) => new Map([...weights].map(([name, weight]) => [`average/${name}`, weight.slice()] as const)),
    update(weights, _, state) {
      for (const [name, weight] of weights) {
        updateKernels().blend(state.get(`average/${name}`)!, weight, decay, 1 - decay);
      }
    },
  };
}
