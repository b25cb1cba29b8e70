/** Lion: steps of one size, with the sign of a mean of gradients. */
import { updateKernels } from './kernels.js';
import { eachWeight, type Optimizer, rateAt, type Schedule, zeros } from './optimizer.js';

export interface LionOptions {
  /** Three to ten times smaller than for AdamW. */
  readonly rate: number | Schedule;
  /** Of the direction, and of what is remembered; 0.9 and 0.99 when absent. */
  readonly betas?: readonly [number, number];
  readonly weightDecay?: number;
}

/** Chen et al. 2023 (arXiv:2302.06675), algorithm 2. */
export function lion({ rate, betas: [beta1, beta2] = [0.9, 0.99], weightDecay = 0 }: LionOptions): Optimizer {
  return {
    init: (weights) => zeros(weights, 'mean'),
    update(weights, gradients, state, step) {
      const lr = rateAt(rate, step);
      eachWeight(weights, gradients, (name, w, g) => {
        const mean = state.get(`mean/${name}`)!;
        updateKernels().lion({ weights: w, gradients: g, mean, rate: lr, decay: weightDecay, beta1, beta2 });
      });
    },
  };
}
