/** Before int8: channels of an activation that are far larger than the others are divided, and the weights behind multiplied in turn. */
import { DenseTensor, type JobHost, lazy, modelGraphs, Names, type Pass, PenjingError, type TaskOptions, type WeightRecord } from '@penjing/core';
import { calibrateLayers, type LayerGroup, layerGroups, orProblem, type Statistics, weightMatrices } from '@penjing/core/calibrate';
import { simplify } from '@penjing/core/rewrite';
import { factorFolder } from '../fold-factors.js';
import { matchesName } from '../layer-rules.js';
import { smoothJob, type SmoothOutput } from './smooth-job.js';

export interface SmoothOptions {
  /** Share of the range that moves from activations into weights, 0 to 1; 0.5 when absent. */
  readonly alpha?: number;
  /** Where nothing can take the factors, a Mul in front of the layers divides the activation; otherwise they stay as they are. False when absent. */
  readonly multiply?: boolean;
  /** Weights to leave alone: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
  /** Simplifies first, so that normalization is one operator that takes the factors; true when absent. */
  readonly simplify?: boolean;
}

/**
 * An eager pass: runs the model over `context.samples` and makes activations with outlier channels easier to round to int8, in front of
 * `quantizeStatic` or `quantizeDynamic`. The model computes what it did before. The factors go into the normalisation, or into the
 * layer before the product of a gated one; where there is none that nothing else reads (unless `multiply`), or where the error that int8
 * promises does not fall, the layers stay as they are and their records say so. Throws `E_OPTION` for a wrong α, `E_DATA` without samples, `E_ENGINE`
 * without `context.jobs`. Source: Xiao et al. 2022, arXiv:2211.10438.
 */
export function smoothActivations(options: SmoothOptions = {}): Pass {
  const { alpha = 0.5, exclude = [], multiply = false } = options;
  if (!(alpha >= 0 && alpha <= 1)) throw new PenjingError('E_OPTION', `alpha is ${alpha}; it must be between 0 and 1`, { hint: 'Larger moves more into the weights; 0.5 shares evenly.' });
  return {
    name: `smooth α ${alpha}`,
    async run(original, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', 'SmoothQuant needs samples of what the model will read', { hint: 'Give --data FILE.' });
      if (!jobs) throw new PenjingError('E_ENGINE', 'SmoothQuant runs the model: it needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const prepared = options.simplify === false ? { model: original, modified: false, records: [], warnings: [] } : await simplify().run(original, task);
      const { model } = prepared;
      const { matrices } = weightMatrices(model, ['matmul', 'gemm']);
      const { groups, skipped } = layerGroups(model, matrices);
      const records: WeightRecord[] = skipped.map(({ weight, reason }) => unchanged(weight.name, weight.tensor!, reason));
      const refused = new Map(groups.map((group) => [group, refusal(group, exclude)]));
      const wanted = groups.filter((group) => refused.get(group) === undefined);
      for (const group of groups) if (refused.get(group) !== undefined) records.push(...left(group, refused.get(group)!));
      const found = new Map<LayerGroup, SmoothOutput>();
      for await (const { group, statistics, problem } of calibrateLayers(model, { ...task, jobs, samples, groups: wanted, statistics: ['channelRange', 'norms'] })) {
        const result = problem ?? (await orProblem(search(group, statistics, alpha, jobs, task)));
        if (typeof result === 'string') records.push(...left(group, result));
        else found.set(group, result);
      }
      // Nothing is edited before everything is measured: the producer of an activation may stand in the block before its readers.
      const folder = factorFolder(model, new Names(modelGraphs(model)), { calibrating: false });
      let smoothed = 0;
      for (const [group, { factors, before, after }] of found) {
        const gain = words(sum(before), sum(after));
        const place = sum(after) < sum(before) ? folder[multiply ? 'fold' : 'foldInto'](group, factors) : undefined;
        if (place === undefined) {
          records.push(...left(group, sum(after) < sum(before) ? `nothing before it can take the factors alone (${gain} with them)` : `int8 would lose no less: ${gain}`));
          continue;
        }
        group.layers.forEach(({ weight, matrix, stored }, i) => {
          weight.tensor = lazy.multiply(weight.tensor!, stored(DenseTensor.of('float32', [1, factors.length], factors)));
          records.push({ ...sizes(weight.name, matrix), method: `smooth α ${alpha}`, objective: after[i]!, note: `${place}; ${words(before[i]!, after[i]!)}` });
        });
        smoothed++;
      }
      if (smoothed > 0) model.origin = undefined;
      const warnings = smoothed > 0 ? [] : ['SmoothQuant changed nothing: see the notes of the weights'];
      return { model, modified: prepared.modified || smoothed > 0, records: [...prepared.records, ...records], warnings: [...prepared.warnings, ...warnings] };
    },
  };
}

async function search(group: LayerGroup, { channelRange: { min, max }, norms: { squares, rows } }: Pick<Statistics, 'channelRange' | 'norms'>, alpha: number, jobs: JobHost, { signal }: TaskOptions): Promise<SmoothOutput> {
  const weights = [];
  for (const { matrix } of group.layers) weights.push(await jobs.refer(matrix));
  return jobs.run(smoothJob, { min, max, squares: squares.map((value) => value / Math.max(1, rows)), weights, alpha }, { ...(signal && { signal }) });
}

/** Of a row of the product, rounded to int8. */
function words(before: number, after: number): string {
  return `½E‖Δy‖² ${before.toPrecision(3)} → ${after.toPrecision(3)}`;
}

/** The layers of a group go together, since they share the activation. */
function refusal({ layers }: LayerGroup, exclude: NonNullable<SmoothOptions['exclude']>): string | undefined {
  for (const { weight, otherReaders } of layers) {
    if (exclude.some((rule) => matchesName(rule, weight.name))) return `${weight.name} is excluded`;
    if (otherReaders.length > 0) return `${otherReaders[0]!.describe()} reads ${weight.name} too`;
  }
  return undefined;
}

function left({ layers }: LayerGroup, reason: string): WeightRecord[] {
  return layers.map(({ weight, matrix }) => unchanged(weight.name, matrix, reason));
}

function unchanged(name: string, tensor: { readonly shape: readonly number[]; readonly byteLength: number }, reason: string): WeightRecord {
  return { ...sizes(name, tensor), method: 'none', note: `not smoothed: ${reason}` };
}

function sizes(name: string, { shape, byteLength }: { readonly shape: readonly number[]; readonly byteLength: number }): Pick<WeightRecord, 'name' | 'elements' | 'bytesBefore' | 'bytesAfter'> {
  return { name, elements: shape.reduce((product, dim) => product * dim, 1), bytesBefore: byteLength, bytesAfter: byteLength };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
