/** Limits on gradients, before an optimizer sees them. */
import { PenjingError } from '@penjing/core';
import { updateKernels } from './kernels.js';
import type { Buffers, Optimizer } from './optimizer.js';

/** √Σ g² over all weights. */
export function globalNorm(gradients: Buffers): number {
  let sum = 0;
  for (const gradient of gradients.values()) sum += updateKernels().sumSquares(gradient);
  return Math.sqrt(sum);
}

/** Scales all gradients down together where their norm is above `limit` (Pascanu et al. 2013). Throws `E_DIVERGED` when the norm is not finite. */
export function clipByNorm(limit: number): Optimizer {
  return {
    init: () => new Map(),
    update(_, gradients, __, step) {
      const norm = globalNorm(gradients);
      if (!Number.isFinite(norm)) throw new PenjingError('E_DIVERGED', `the gradients of step ${step} are not finite`, { hint: 'Lower the learning rate, or warm it up for longer.' });
      if (norm <= limit) return;
      // The small number is PyTorch's.
      const factor = limit / (norm + 1e-6);
      for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i]! *= factor;
    },
  };
}

/** Cuts each element of a gradient to [−limit, limit]. */
export function clipByValue(limit: number): Optimizer {
  return {
    init: () => new Map(),
    update(_, gradients) {
      for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i] = Math.max(-limit, Math.min(limit, gradient[i]!));
    },
  };
}
