/** Weight-only quantization by GPTQ: block by block, each weight in the metric of the activations that reach it. */
import type { Pass } from '@penjing/core';
import { calibratedWeights, type RoundGroup } from '../calibrated-weights.js';
import { type PlannedWeight, type WeightOptions, weightSettings } from '../plan-weights.js';
import { type GptqOrder, type GptqOutput, gptqJob } from './gptq-job.js';

export interface GptqWeightsOptions extends WeightOptions {
  /** Share of the mean of the Hessian's diagonal that is added to it; 0.01 when absent. Raised where that is not enough. */
  readonly damping?: number;
  /** The order in which inputs are rounded; `blocks`, whole blocks with the most active first, when absent. */
  readonly order?: GptqOrder;
}

/**
 * An eager pass: runs the model over `context.samples`, one block at a time, and rounds the matrices of each block before the next
 * block is calibrated (Frantar et al. 2022, arXiv:2210.17323). Lookup tables and matrices in subgraphs are rounded to the nearest.
 * Throws `E_OPTION` for a scheme without a kernel, `E_DATA` without samples, `E_NOTHING_TO_DO` when no weight fits.
 */
export function gptqWeights(options: GptqWeightsOptions = {}): Pass {
  const settings = weightSettings(options, 'gptq');
  const round: RoundGroup<'hessian'> = async (layers, { hessian: { sums, channels } }, _group, { jobs, task: { signal } }) => {
    const parts = byBlockSize(layers);
    const rounded = new Map<PlannedWeight, GptqOutput['matrices'][number]>();
    const notes = new Set<string>();
    for (const part of parts) {
      const matrices = [];
      for (const { matrix, scheme } of part) matrices.push({ weights: await jobs.refer(matrix.matrix), scheme });
      const { scheme } = matrices[0]!;
      const input = { hessian: sums, size: channels, scheme, matrices, scales: settings.scales, layout: settings.form.layout, damping: options.damping, order: options.order };
      const result = await jobs.run(gptqJob, input, { ...(signal && { signal }) });
      for (const [i, planned] of part.entries()) rounded.set(planned, result.matrices[i]!);
      if (result.damping > (options.damping ?? 0.01)) notes.add(`damping raised to ${result.damping}`);
      if (result.dead.length > 0) notes.add(`${result.dead.length} inputs were never active`);
    }
    return { matrices: layers.map((planned) => rounded.get(planned)!), note: notes.size > 0 ? [...notes].join('; ') : undefined };
  };
  return calibratedWeights({ method: 'gptq', statistics: ['hessian'], start: () => round }, settings);
}

/** One order of the inputs serves the matrices of a job, and it moves whole blocks. */
function byBlockSize(layers: readonly PlannedWeight[]): PlannedWeight[][] {
  const parts = new Map<number, PlannedWeight[]>();
  for (const layer of layers) parts.set(layer.scheme.blockSize, [...(parts.get(layer.scheme.blockSize) ?? []), layer]);
  return [...parts.values()];
}
