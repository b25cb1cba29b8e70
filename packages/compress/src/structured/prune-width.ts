/** Narrower in every way that a model has: channels, features inside of feed-forward parts, hidden features, heads. */
import { isPenjingError, type Pass, type PassResult, PenjingError, pipeline } from '@penjing/core';
import { keepSamples } from '@penjing/core/calibrate';
import { structuredPrune, type StructuredPruneOptions } from './structured-prune.js';

export interface PruneWidthOptions extends Pick<StructuredPruneOptions, 'gateModel' | 'exclude'> {
  /** Share of the units of every dimension that go. */
  readonly ratio: number;
  /** `norm` when absent. */
  readonly method?: Exclude<StructuredPruneOptions['method'], 'obs' | undefined>;
}

/** Heads go last: caches are inputs, and samples have as many heads as the model had. */
const STRUCTURES = ['channels', 'ffn', 'hidden', 'heads'] as const;

/**
 * `structuredPrune` for each structure that the model has, by the same samples. What is left computes something near what the model did, and is a student to be trained. Throws `E_NOTHING_TO_DO` with the reasons
 * when the model has none of them, and what `structuredPrune` throws.
 */
export function pruneWidth({ ratio, method = 'norm', ...options }: PruneWidthOptions): Pass {
  const passes = STRUCTURES.map((structure) => structuredPrune({ ...options, structure, ratio, method }));
  return {
    name: `prune width ${method} ${ratio}`,
    async run(model, { samples, jobs, ...task }) {
      if (!jobs) throw new PenjingError('E_ENGINE', 'structured pruning needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      await using shelved = samples && method !== 'norm' ? await keepSamples(jobs, samples, task) : undefined;
      const reasons: string[] = [];
      const result = await pipeline(passes.map((pass) => orUnchanged(pass, reasons))).run(model, { ...task, jobs, ...(shelved && { samples: shelved.samples }) });
      if (result.modified) return result;
      throw new PenjingError('E_NOTHING_TO_DO', `nothing of this model can become narrower: ${reasons.join('; ')}`, { hint: 'Choose a larger ratio, or simplify the model first.' });
    },
  };
}

function orUnchanged(pass: Pass, reasons: string[]): Pass {
  return {
    name: pass.name,
    async run(model, context): Promise<PassResult> {
      try {
        return await pass.run(model, context);
      } catch (error) {
        if (!isPenjingError(error) || error.code !== 'E_NOTHING_TO_DO') throw error;
        reasons.push(error.message);
        return { model, modified: false, records: [], warnings: [] };
      }
    },
  };
}
