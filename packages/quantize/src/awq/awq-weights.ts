/** Weight-only quantization by AWQ: inputs that matter are enlarged before rounding, and their activations divided in turn. */
import type { Pass } from '@penjing/core';
import { calibratedWeights } from '../calibrated-weights.js';
import { type WeightOptions, weightSettings } from '../plan-weights.js';
import { awqJob } from './awq-job.js';
import { factorFolder } from '../fold-factors.js';

export interface AwqWeightsOptions extends WeightOptions {
  /** Cuts off the largest weights of a block where that lowers the error of the output; true when absent. */
  readonly clip?: boolean;
}

/**
 * An eager pass: runs the model over `context.samples`, block by block, and looks for the factors and the cuts with the least error
 * of every layer's output (Lin et al. 2023, arXiv:2306.00978). The factors go into the normalisation or the layer before, behind an attention
 * into the projection of its values (`attentionValue`); where something else reads the activation too, a Mul divides it. Lookup tables and matrices in subgraphs are rounded to the nearest.
 * Throws `E_OPTION` for a scheme without a kernel, `E_DATA` without samples, `E_NOTHING_TO_DO` when no weight fits.
 */
export function awqWeights(options: AwqWeightsOptions = {}): Pass {
  const settings = weightSettings(options, 'awq');
  return calibratedWeights({
    method: 'awq',
    statistics: ['hessian', 'magnitudes'],
    start: (model, { context: { names } }) => {
      const folder = factorFolder(model, names, { calibrating: true });
      return async (layers, { hessian: { sums, channels }, magnitudes: { means } }, group, { jobs, task: { signal } }) => {
        const matrices = [];
        for (const { matrix, scheme } of layers) matrices.push({ weights: await jobs.refer(matrix.matrix), scheme });
        const input = { hessian: sums, magnitudes: means, size: channels, matrices, scales: settings.scales, layout: settings.form.layout, clip: options.clip };
        const result = await jobs.run(awqJob, input, { ...(signal && { signal }) });
        if (result.alpha === 0) return { matrices: result.matrices, note: 'α 0' };
        return { matrices: result.matrices, note: `α ${result.alpha}`, prepare: () => folder.fold(group, result.factors) };
      };
    },
  }, settings);
}
