/** Stochastic gradient descent. */
import { updateKernels } from './kernels.js';
import { eachWeight, type Optimizer, rateAt, type Schedule, zeros } from './optimizer.js';

export interface SgdOptions {
  readonly rate: number | Schedule;
  /** 0 when absent: no momentum, no state. */
  readonly momentum?: number;
  /** Looks ahead along the momentum (Nesterov 1983, in the form of Sutskever et al. 2013). */
  readonly nesterov?: boolean;
  /** Added to the gradient, times the weight. */
  readonly weightDecay?: number;
}

/** v ← μ v + g, w ← w − rate v; the first v is g, as in PyTorch. */
export function sgd({ rate, momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions): Optimizer {
  return {
    init: (weights) => (momentum === 0 ? new Map() : zeros(weights, 'momentum')),
    update(weights, gradients, state, step) {
      const lr = rateAt(rate, step);
      eachWeight(weights, gradients, (name, w, g) => {
        const velocity = state.get(`momentum/${name}`);
        if (velocity) updateKernels().momentum({ weights: w, gradients: g, velocity, rate: lr, decay: weightDecay, momentum, nesterov });
        else updateKernels().blend(w, g, 1 - lr * weightDecay, -lr);
      });
    },
  };
}
