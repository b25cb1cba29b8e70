/** Adam with decoupled weight decay. */
import { updateKernels } from './kernels.js';
import { eachWeight, type Optimizer, rateAt, type Schedule, zeros } from './optimizer.js';

export interface AdamWOptions {
  readonly rate: number | Schedule;
  /** Memory of the mean of gradients and of their squares; 0.9 and 0.999 when absent. */
  readonly betas?: readonly [number, number];
  /** 1e-8 when absent. */
  readonly epsilon?: number;
  /** Shrinks weights by rate · weightDecay in each step; 0 when absent, which is Adam. */
  readonly weightDecay?: number;
  /** Which weights decay; all when absent. Norms and biases usually do not. */
  readonly decays?: (name: string) => boolean;
}

/** Kingma and Ba 2015 (arXiv:1412.6980); the decay of Loshchilov and Hutter 2019 (arXiv:1711.05101). */
export function adamW({ rate, betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, decays = () => true }: AdamWOptions): Optimizer {
  return {
    init: (weights) => zeros(weights, 'mean', 'square'),
    update(weights, gradients, state, step) {
      const lr = rateAt(rate, step);
      const size = lr / (1 - beta1 ** (step + 1));
      const correction = 1 / Math.sqrt(1 - beta2 ** (step + 1));
      eachWeight(weights, gradients, (name, w, g) => {
        const mean = state.get(`mean/${name}`)!;
        const square = state.get(`square/${name}`)!;
        const kept = decays(name) ? 1 - lr * weightDecay : 1;
        updateKernels().adamW({ weights: w, gradients: g, mean, square, keep: kept, size, beta1, beta2, correction, epsilon });
      });
    },
  };
}
