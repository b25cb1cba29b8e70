/** Pruning by what the model computes on samples: Wanda and SparseGPT, block by block. */
import { elementCount, type JobHost, type Pass, PenjingError, type TaskOptions, type WeightRecord } from '@penjing/core';
import { calibrateLayers, type LayerGroup, layerGroups, type Statistics, type WeightMatrix, orProblem } from '@penjing/core/calibrate';
import { type ActivationMetric, pruneJob, type PrunedMatrix, type PruneOutput } from './prune-job.js';
import { pruneByMagnitude } from './magnitude-prune.js';
import { NO_SPEED_UP, noJobs, prunable, type PruneSelection, recordOf } from './prunable.js';
import { firstRule, type LayerMatch } from '../layer-rules.js';
import { describeSparsity, type Sparsity, type SparsityOptions, sparsityOf } from './sparsity.js';

export interface WandaOptions extends SparsityOptions, Pick<PruneSelection, 'exclude'> {
  /** What certain weights get instead; the first rule that matches a name counts. */
  readonly layers?: readonly PruneRule[];
}

/** Says how sparse, or `method: 'none'`. */
export interface PruneRule extends LayerMatch, SparsityOptions {}

export interface SparseGptOptions extends WandaOptions {
  /** Share of the mean of the Hessian's diagonal that is added to it; 0.01 when absent. Raised where that is not enough. */
  readonly damping?: number;
}

/** Sun et al. 2023 (arXiv:2306.11695): |w| · ‖x‖ compared within each output; the weights that stay are as they were. */
export function wanda(options: WandaOptions): Pass {
  return calibratedPrune('wanda', options, 'norms', ({ squares }) => ({ kind: 'diagonal', squares }));
}

/** Frantar and Alistarh 2023 (arXiv:2301.00774): the weights that stay make up for those that go, in the metric of XᵀX. */
export function sparseGpt({ damping, ...options }: SparseGptOptions): Pass {
  if (damping !== undefined && !(damping >= 0 && damping <= 10)) throw new PenjingError('E_OPTION', `a damping of ${damping}: 0 to 10 are possible`);
  return calibratedPrune('sparsegpt', options, 'hessian', ({ sums }) => ({ kind: 'hessian', sums, damping }), damping);
}

/**
 * Runs the model over `context.samples` and prunes the matrices of each block before the next block is calibrated. Kernels of
 * convolutions in groups, N:M of kernels larger than 1 × 1, and what no activation of the main graph multiplies, are pruned by magnitude,
 * with a note. Throws `E_OPTION` for an impossible sparsity, `E_DATA` without samples, `E_ENGINE` without a host for jobs, `E_NOTHING_TO_DO` when there is nothing to prune.
 */
function calibratedPrune<Name extends 'norms' | 'hessian'>(name: 'wanda' | 'sparsegpt', options: WandaOptions, statistic: Name, metricOf: (statistics: Statistics[Name]) => ActivationMetric, damping = 0.01): Pass {
  const overall = sparsityOf(options);
  const rules = (options.layers ?? []).map((rule) => ({ ...rule, sparsity: rule.method === 'none' ? undefined : sparsityOf(rule) }));
  const sparsityFor = ({ weight }: WeightMatrix): Sparsity | undefined => {
    const rule = firstRule(rules, weight.name);
    return rule ? rule.sparsity : overall;
  };

  return {
    name: `prune ${name} ${describeSparsity(overall)}`,
    async run(model, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', `${name} needs samples of what the model will read`, { hint: 'Give --data FILE.' });
      if (!jobs) throw noJobs(name);
      const { matrices: all, leftAlone } = prunable(model, options);
      const matrices = all.filter((layer) => sparsityFor(layer) !== undefined);
      const records: WeightRecord[] = [...leftAlone, ...all.filter((layer) => !matrices.includes(layer)).map((layer) => ({ ...recordOf(layer, 'none'), note: 'excluded' }))];
      const fallback = async (layer: WeightMatrix, reason: string): Promise<void> => {
        const [record] = await pruneByMagnitude([layer], sparsityFor(layer)!, { jobs, task });
        records.push({ ...record!, note: [`by magnitude: ${reason}`, ...(record!.note ? [record!.note] : [])].join('; ') });
      };
      const across = matrices.filter((layer) => sparsityFor(layer)!.kind === 'pattern' && hasPlaces(layer));
      const { groups, skipped } = layerGroups(model, matrices.filter((layer) => !across.includes(layer)));
      const partsOf = (group: LayerGroup): Part[] => bySparsity(group.layers, (layer) => sparsityFor(layer)!);
      for await (const { group, computed } of calibrateLayers(model, {
        ...task, jobs, samples, groups, statistics: [statistic],
        async compute({ group, statistics, problem }, signal) {
          const results: (PruneOutput | string)[] = [];
          for (const { sparsity, layers } of partsOf(group)) results.push(problem ?? (await pruneGroup({ ...group, layers }, metricOf(statistics[statistic]), { sparsity, jobs, task: { ...task, signal } })));
          return results;
        },
      })) {
        for (const [p, { sparsity, layers }] of partsOf(group).entries()) {
          const result = computed[p]!;
          for (const [i, layer] of layers.entries()) {
            const pruned = typeof result === 'string' ? result : result.matrices[i]!;
            if (typeof pruned === 'string' || typeof result === 'string') {
              await fallback(layer, pruned as string);
              continue;
            }
            records.push({ ...recordOf(layer, `${name} ${describeSparsity(sparsity)}`), ...measured(pruned, result, damping) });
            layer.weight.tensor = layer.stored(await jobs.tensor(pruned.weights));
          }
        }
      }
      for (const layer of across) await fallback(layer, 'its pattern runs over channels, at each place of the kernel');
      for (const { weight, reason } of skipped) await fallback(matrices.find((layer) => layer.weight === weight)!, reason);
      model.origin = undefined;
      return { model, modified: true, records, warnings: [NO_SPEED_UP] };
    },
  };
}

/** A kernel of more than one place: neighbouring inputs are places, not channels. */
function hasPlaces({ sites, weight }: WeightMatrix): boolean {
  return sites[0]?.kind === 'conv' && elementCount(weight.tensor!.shape.slice(2)) > 1;
}

interface Part {
  readonly sparsity: Sparsity;
  readonly layers: WeightMatrix[];
}

/** Layers of one sparsity share a factorisation. */
function bySparsity(layers: readonly WeightMatrix[], sparsityFor: (layer: WeightMatrix) => Sparsity): Part[] {
  const parts = new Map<string, Part>();
  for (const layer of layers) {
    const sparsity = sparsityFor(layer);
    const key = describeSparsity(sparsity);
    const part = parts.get(key) ?? { sparsity, layers: [] };
    parts.set(key, part);
    part.layers.push(layer);
  }
  return [...parts.values()];
}

interface Tools {
  readonly sparsity: Sparsity;
  readonly jobs: JobHost;
  readonly task: TaskOptions;
}

/** What became of the matrices, or why magnitude has to do. */
async function pruneGroup({ channels, layers }: LayerGroup, metric: ActivationMetric, { sparsity, jobs, task: { signal } }: Tools): Promise<PruneOutput | string> {
  const matrices = [];
  for (const { matrix } of layers) matrices.push(await jobs.refer(matrix));
  return orProblem(jobs.run(pruneJob, { metric, size: channels, sparsity, matrices }, { ...(signal && { signal }) }));
}

function measured({ objective, sparsity, snrDb, maxError, nonFinite }: PrunedMatrix, { damping, dead }: PruneOutput, asked: number): Partial<WeightRecord> {
  const notes = [
    ...(damping > asked ? [`damping raised to ${damping}`] : []),
    ...(dead > 0 ? [`${dead} inputs were never active`] : []),
    ...(nonFinite > 0 ? [`${nonFinite} values were not finite and are 0 now`] : []),
  ];
  return { objective, sparsity, snrDb, maxError, ...(notes.length > 0 && { note: notes.join('; ') }) };
}
