/** Weight-only quantization by GPTQ: block by block, each weight in the metric of the activations that reach it. */
import { isPenjingError, type JobHost, type Pass, PenjingError, type QuantizedTensors, type TaskOptions, type Value, type WeightRecord } from '@penjing/core';
import { calibrateLayers, layerGroups, type Statistics } from '@penjing/core/calibrate';
import { describeMethod, finishWeights, type PlannedWeight, planWeights, type WeightOptions, type WeightSettings, weightSettings } from '../plan-weights.js';
import { describeScheme } from '../scheme.js';
import { type GptqMatrix, type GptqOutput, gptqJob } from './gptq-job.js';

export interface GptqWeightsOptions extends WeightOptions {
  /** Share of the mean of the Hessian's diagonal that is added to it; 0.01 when absent. Raised where that is not enough. */
  readonly damping?: number;
  /** Rounds the most active inputs first; true when absent. */
  readonly activationOrder?: boolean;
}

/**
 * An eager pass: runs the model over `context.samples`, one block at a time, and rounds the matrices of each block before the next
 * block is calibrated (Frantar et al. 2022, arXiv:2210.17323). Lookup tables and matrices in subgraphs are rounded to the nearest.
 * Throws `E_OPTION` for a scheme without a kernel, `E_DATA` without samples, `E_NOTHING_TO_DO` when no weight fits.
 */
export function gptqWeights(options: GptqWeightsOptions = {}): Pass {
  const settings = weightSettings(options, 'gptq');
  const { scheme, form } = settings;

  return {
    name: `gptq ${describeScheme(scheme)}`,
    async run(model, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', 'GPTQ needs samples of what the model will read', { hint: 'Give --data FILE.' });
      if (!jobs) throw new PenjingError('E_ENGINE', 'GPTQ runs the model: it needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const plan = planWeights(model, settings);
      const records: WeightRecord[] = [...plan.leftAlone];
      const changed = new Set<Value>();
      const apply = ({ matrix, scheme, dataFree, record }: PlannedWeight, tensors: QuantizedTensors, more: Partial<WeightRecord>): void => {
        const stored = form.apply(matrix, tensors, { ...plan.context, scheme });
        records.push({ ...record, method: describeMethod(dataFree, scheme, settings), ...(more.objective === undefined && { measuredBy: stored.name }), ...more });
        changed.add(matrix.weight);
      };

      const plans = new Map(plan.planned.flatMap((planned) => (planned.method === 'gptq' ? [[planned.matrix, planned] as const] : [])));
      const { groups, skipped } = layerGroups(model, [...plans.keys()]);
      for await (const { group, statistics, problem } of calibrateLayers(model, { ...task, jobs, samples, groups, statistics: ['gram'] })) {
        const parts = byBlockSize(group.layers.map((layer) => plans.get(layer)!));
        for (const [at, part] of parts.entries()) {
          // The job overwrites the Hessian: only the last one gets ours.
          const gram = at < parts.length - 1 ? { ...statistics.gram, sums: statistics.gram.sums.slice() } : statistics.gram;
          const result = problem ?? (await roundGroup(part, gram, { jobs, settings, options, task }));
          for (const [i, planned] of part.entries()) {
            if (typeof result === 'string') apply(planned, planned.nearest, { note: `rounded to the nearest: ${result}` });
            else apply(planned, await tensorsOf(result.matrices[i]!, jobs), { method: describeMethod('gptq', planned.scheme, settings), ...measured(result, result.matrices[i]!, options) });
          }
        }
      }
      const reasons = new Map(skipped.map(({ weight, reason }) => [weight, reason]));
      for (const planned of plan.planned) {
        const { weight } = planned.matrix;
        if (changed.has(weight)) continue;
        apply(planned, planned.nearest, planned.method === 'gptq' ? { note: `rounded to the nearest: ${reasons.get(weight) ?? 'no block of the model computes with it'}` } : {});
      }
      return { model, modified: true, records, warnings: finishWeights(model, changed, plan, settings) };
    },
  };
}

interface Tools {
  readonly jobs: JobHost;
  readonly settings: WeightSettings;
  readonly options: GptqWeightsOptions;
  readonly task: TaskOptions;
}

/** One order of the inputs serves the matrices of a job, and it moves whole blocks. */
function byBlockSize(layers: readonly PlannedWeight[]): PlannedWeight[][] {
  const parts = new Map<number, PlannedWeight[]>();
  for (const layer of layers) parts.set(layer.scheme.blockSize, [...(parts.get(layer.scheme.blockSize) ?? []), layer]);
  return [...parts.values()];
}

/** The rounded matrices, or why they are rounded to the nearest instead. */
async function roundGroup(layers: readonly PlannedWeight[], { sums, channels }: Statistics['gram'], { jobs, settings, options, task: { signal } }: Tools): Promise<GptqOutput | string> {
  const matrices = [];
  for (const { matrix, scheme } of layers) matrices.push({ weights: await jobs.refer(matrix.matrix), scheme });
  const { scheme } = matrices[0]!;
  try {
    return await jobs.run(
      gptqJob,
      { hessian: sums, size: channels, scheme, matrices, scales: settings.scales, layout: settings.form.layout, damping: options.damping, activationOrder: options.activationOrder },
      { transfer: [sums.buffer as ArrayBuffer], ...(signal && { signal }) },
    );
  } catch (error) {
    // A layer whose activations are no numbers keeps the model from being useful, but not from being written.
    if (isPenjingError(error) && error.code === 'E_DATA') return error.message;
    throw error;
  }
}

async function tensorsOf({ values, scales, zeroPoints }: GptqMatrix, jobs: JobHost): Promise<QuantizedTensors> {
  return { values: await jobs.tensor(values), scales: await jobs.tensor(scales), zeroPoints: zeroPoints && (await jobs.tensor(zeroPoints)) };
}

function measured({ damping, dead }: GptqOutput, { objective, stats }: GptqMatrix, options: GptqWeightsOptions): Partial<WeightRecord> {
  const notes = [
    ...(damping > (options.damping ?? 0.01) ? [`damping raised to ${damping}`] : []),
    ...(dead.length > 0 ? [`${dead.length} inputs were never active`] : []),
  ];
  return {
    objective,
    snrDb: stats.sumSquaredError === 0 ? Infinity : 10 * Math.log10(stats.sumSquares / stats.sumSquaredError),
    maxError: stats.maxError,
    ...(notes.length > 0 && { note: notes.join('; ') }),
  };
}
