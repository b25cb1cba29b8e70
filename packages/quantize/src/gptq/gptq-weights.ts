/** Weight-only quantization by GPTQ: block by block, each weight in the metric of the activations that reach it. */
import { DenseTensor, type JobHost, type Model, type Pass, PenjingError, type QuantizedTensors, type Value, type WeightRecord, bytesOf, isPenjingError } from '@penjing/core';
import { type CalibratedBlock, calibrateBlocks } from '@penjing/core/calibrate';
import { describeMethod, finishWeights, type PlannedWeight, planWeights, type WeightOptions, type WeightPlan, type WeightSettings, weightSettings } from '../plan-weights.js';
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

      const groups = byActivation(model, plan);
      const reading = (nodes: ReadonlySet<unknown>): Group[] => groups.filter(({ node }) => nodes.has(node));
      const calibrated = calibrateBlocks(model, {
        ...task, jobs, samples,
        collect: (block) => reading(new Set(block.nodes)).map(({ activation }) => ({ value: activation, statistic: 'gram' as const })),
      });
      for await (const block of calibrated) {
        for (const group of reading(new Set(block.block.nodes))) {
          const result = await roundGroup(group, block, { jobs, settings, options, task });
          for (const [i, planned] of group.weights.entries()) {
            if (typeof result === 'string') apply(planned, planned.nearest, { note: result });
            else apply(planned, tensorsOf(planned.nearest, result.matrices[i]!), { method: describeMethod('gptq', planned.scheme, settings), ...measured(result, result.matrices[i]!, options) });
          }
        }
      }
      for (const planned of plan.planned) {
        if (changed.has(planned.matrix.weight)) continue;
        apply(planned, planned.nearest, planned.method === 'gptq' ? { note: 'rounded to the nearest: no activation multiplies it in the main graph' } : {});
      }
      return { model, modified: true, records, warnings: finishWeights(model, changed, plan, settings) };
    },
  };
}

/** Matrices that multiply the same activation, in the block of `node`. */
interface Group {
  readonly activation: string;
  readonly node: unknown;
  readonly weights: PlannedWeight[];
}

/** Float32 matrices of the main graph by the activation that all their products read and the size of their blocks; one activation may be read in several blocks. */
function byActivation(model: Model, { planned }: WeightPlan): Group[] {
  const groups = new Map<string, Group>();
  for (const weight of planned) {
    if (weight.method !== 'gptq') continue;
    const products = weight.matrix.sites.filter(({ kind }) => kind !== 'gather').map(({ node }) => node);
    const [first] = products;
    const activation = first?.input(0);
    if (!first || !activation || first.graph !== model.graph || weight.matrix.matrix.dtype !== 'float32') continue;
    if (products.some((node) => node.input(0) !== activation)) continue;
    const key = `${weight.scheme.blockSize} ${activation.name}`;
    const group = groups.get(key);
    if (group) group.weights.push(weight);
    else groups.set(key, { activation: activation.name, node: first, weights: [weight] });
  }
  return [...groups.values()];
}

interface Tools {
  readonly jobs: JobHost;
  readonly settings: WeightSettings;
  readonly options: GptqWeightsOptions;
  readonly task: Pick<Parameters<Pass['run']>[1], 'signal' | 'onProgress' | 'seed'>;
}

/** The rounded matrices, or why they are rounded to the nearest instead. */
async function roundGroup({ activation, weights }: Group, block: CalibratedBlock, { jobs, settings, options, task: { signal } }: Tools): Promise<GptqOutput | string> {
  const { sums, channels } = block.statistic(activation, 'gram');
  const matrices = [];
  for (const { matrix, scheme } of weights) matrices.push({ weights: aligned(await matrix.matrix.load()), cols: matrix.matrix.shape[0]!, scheme });
  const { scheme } = matrices[0]!;
  // Not the sums: groups of other block sizes read them too.
  const transfer = matrices.map((matrix) => matrix.weights.buffer);
  try {
    return await jobs.run(
      gptqJob,
      { hessian: sums, size: channels, scheme, matrices, scales: settings.scales, layout: settings.form.layout, damping: options.damping, activationOrder: options.activationOrder },
      { transfer, ...(signal && { signal }) },
    );
  } catch (error) {
    // A layer whose activations are no numbers keeps the model from being useful, but not from being written.
    if (isPenjingError(error) && error.code === 'E_DATA') return `rounded to the nearest: ${error.message}`;
    throw error;
  }
}

/** The bytes as floats of a buffer of their own, which can be given away. */
function aligned(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

function tensorsOf({ values, scales, zeroPoints }: QuantizedTensors, stored: GptqMatrix): QuantizedTensors {
  return {
    values: new DenseTensor(values.dtype, values.shape, stored.values),
    scales: new DenseTensor('float32', scales.shape, bytesOf(stored.scales)),
    zeroPoints: zeroPoints && new DenseTensor(zeroPoints.dtype, zeroPoints.shape, stored.zeroPoints!),
  };
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
