/** Replaces weight matrices by products of two thin ones: SVD, ASVD and SVD-LLM as one pass. */
import { inLanes, type JobHost, lazy, type Model, modelGraphs, Names, type Pass, PenjingError, type TaskOptions, type WeightRecord } from '@penjing/core';
import { calibrateLayers, type HessianSums, layerGroups, type WeightMatrix, weightMatrices, orProblem } from '@penjing/core/calibrate';
import { removeDead } from '@penjing/core/rewrite';
import { type FactorMetric, factorsJob, type Spectrum, type SpectrumOutput, spectrumJob } from './factor-job.js';
import { type RankOptions, type RankRule, rankRule } from './rank-rule.js';
import { refuseFactors, replaceProducts } from './replace-product.js';

export interface LowRankOptions extends RankOptions {
  /** `svd`: ‖w − w*‖². `asvd`: inputs scaled by what reaches them. `svd-llm`: ‖x (w − w*)‖² over the samples. `svd` when absent. */
  readonly method?: 'svd' | 'asvd' | 'svd-llm';
  /** Of ASVD: inputs are scaled by their root mean square to this power; 0.5 when absent, as in the paper. */
  readonly alpha?: number;
  /** Of SVD-LLM: share of the mean of the diagonal of XᵀX that is added to it; 1e-4 when absent. Raised where that is not enough. */
  readonly damping?: number;
  /** Weights to leave alone: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
}

/** A matrix, what was found of it, and what its record says besides. */
interface Decomposed {
  readonly layer: WeightMatrix;
  readonly spectrum: Spectrum;
  readonly method: NonNullable<LowRankOptions['method']>;
  readonly note?: string | undefined;
}

/**
 * An eager pass. The constant matrices of MatMul and Gemm become two, wherever that stores less; biases stay. With `asvd` and `svd-llm`
 * the model runs over `context.samples` block by block, and later blocks see what the edited ones compute, unless `scope` is `global`,
 * which needs all spectra first. Matrices that no activation of the main graph multiplies are factored by plain SVD, with a note.
 * Throws `E_OPTION` for contradicting options, `E_ENGINE` without a host for jobs, `E_DATA` without samples, `E_NOTHING_TO_DO` when no
 * matrix can be factored.
 */
export function lowRank({ method = 'svd', alpha = 0.5, damping = 1e-4, exclude = [], ...ranks }: LowRankOptions): Pass {
  const rule = rankRule(ranks);
  if (!(alpha >= 0 && alpha <= 1)) throw new PenjingError('E_OPTION', `an alpha of ${alpha}: 0 to 1 is possible`);
  if (!(damping >= 0 && damping <= 10)) throw new PenjingError('E_OPTION', `a damping of ${damping}: 0 to 10 are possible`);
  const name = `${method} ${rule.description}`;

  return {
    name: `lowrank ${name}`,
    async run(model, { samples, jobs, ...task }) {
      if (!jobs) throw new PenjingError('E_ENGINE', 'singular values are found by a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const { layers, leftAlone } = factorable(model, exclude);
      const records: WeightRecord[] = [...leftAlone];
      const names = new Names(modelGraphs(model));
      const later: Decomposed[] = [];
      const place = async (found: readonly Decomposed[]): Promise<void> => {
        if (rule.global) later.push(...found);
        else records.push(...(await replace(found, { rule, jobs, names, task })));
      };
      const plainly = async (asked: readonly { readonly layer: WeightMatrix; readonly note: string | undefined }[]): Promise<void> => {
        const found = await inLanes(asked, jobs.parallel, ({ layer }, _, signal) => orProblem(decompose([layer], { kind: 'identity' }, { rule, jobs, task: { signal } })), task.signal);
        const spectra = asked.flatMap(({ layer, note }, i): Decomposed[] => {
          const output = found[i]!;
          if (typeof output === 'string') records.push(kept(layer.weight.name, layer.weight.tensor, output));
          return typeof output === 'string' ? [] : [{ layer, spectrum: output.spectra[0]!, method: 'svd', note }];
        });
        await place(spectra);
      };

      const { groups, skipped } = method === 'svd' ? { groups: [], skipped: [] } : layerGroups(model, layers);
      if (method !== 'svd') {
        if (!samples) throw new PenjingError('E_DATA', `${method} needs samples of what the model will read`, { hint: 'Give --data FILE, or choose --method svd.' });
        const statistic = method === 'asvd' ? 'norms' : 'hessian';
        for await (const { group, computed: found } of calibrateLayers(model, {
          ...task, jobs, samples, groups, statistics: [statistic],
          compute: async ({ group, statistics, problem }, signal) => problem ?? (await orProblem(decompose(group.layers, metricOf(statistics, alpha, damping), { rule, jobs, task: { ...task, signal } }))),
        })) {
          if (typeof found === 'string') await plainly(group.layers.map((layer) => ({ layer, note: `by plain SVD: ${found}` })));
          else await place(group.layers.map((layer, i) => ({ layer, spectrum: found.spectra[i]!, method, note: noteOf(found, damping) })));
        }
      }
      const reasons = new Map(skipped.map(({ weight, reason }) => [weight, `by plain SVD: ${reason}`]));
      await plainly(layers.filter(({ weight }) => method === 'svd' || reasons.has(weight)).map((layer) => ({ layer, note: reasons.get(layer.weight) })));
      if (rule.global) records.push(...(await replace(later, { rule, jobs, names, task })));
      removeDead(model);
      const modified = records.some((record) => record.method !== 'none');
      if (modified) model.origin = undefined;
      return { model, modified, records, warnings: modified ? [] : [`no matrix stores less at ${rule.description}`] };
    },
  };
}

interface Tools {
  readonly rule: RankRule;
  readonly jobs: JobHost;
  readonly task: TaskOptions;
}

/** Throws `E_NOTHING_TO_DO` when nothing is left. */
function factorable(model: Model, exclude: readonly (string | RegExp)[]): { layers: WeightMatrix[]; leftAlone: WeightRecord[] } {
  const { matrices, skipped } = weightMatrices(model, ['matmul', 'gemm']);
  const leftAlone = skipped.map(({ weight, reason }) => kept(weight.name, weight.tensor, reason));
  const layers: WeightMatrix[] = [];
  for (const layer of matrices) {
    const { name, tensor } = layer.weight;
    const excluded = exclude.some((rule) => (typeof rule === 'string' ? rule === name : name.search(rule) !== -1));
    const reason = excluded ? 'excluded' : refuseFactors(layer);
    if (reason === undefined) layers.push(layer);
    else leftAlone.push(kept(name, tensor, reason));
  }
  if (layers.length === 0) {
    const reasons = [...new Set(leftAlone.map(({ note }) => note))].join('; ');
    throw new PenjingError('E_NOTHING_TO_DO', `no matrix of this model can be factored${reasons ? `: ${reasons}` : ''}`, { hint: 'Low-rank factors replace constant matrices of MatMul and Gemm.' });
  }
  return { layers, leftAlone };
}

function kept(name: string, tensor: { readonly byteLength: number; readonly shape: readonly number[] } | undefined, note: string): WeightRecord {
  const bytes = tensor?.byteLength ?? 0;
  return { name, method: 'none', elements: tensor?.shape.reduce((product, dim) => product * dim, 1) ?? 0, bytesBefore: bytes, bytesAfter: bytes, note };
}

function metricOf(statistics: { readonly norms?: { readonly squares: Float64Array; readonly rows: number }; readonly hessian?: { readonly sums: HessianSums } }, alpha: number, damping: number): FactorMetric {
  const { norms, hessian } = statistics;
  if (hessian) return { kind: 'hessian', sums: hessian.sums, damping };
  const { squares, rows } = norms!;
  const scales = Float32Array.from(squares, (sum) => Math.sqrt(sum / rows) ** alpha);
  return { kind: 'diagonal', scales };
}

async function decompose(layers: readonly WeightMatrix[], metric: FactorMetric, { rule, jobs, task: { signal } }: Tools): Promise<SpectrumOutput> {
  const matrices = [];
  for (const { matrix } of layers) {
    const [rows, cols] = matrix.shape as [number, number];
    matrices.push({ matrix: await jobs.refer(lazy.cast(matrix, 'float32')), rank: rule.needed(rows, cols) });
  }
  return jobs.run(spectrumJob, { metric, size: layers[0]!.matrix.shape[1]!, matrices }, { ...(signal && { signal }) });
}


function noteOf({ damping, dead }: SpectrumOutput, asked: number): string | undefined {
  const notes = [...(damping > asked ? [`damping raised to ${damping}`] : []), ...(dead > 0 ? [`${dead} inputs were never active`] : [])];
  return notes.length > 0 ? notes.join('; ') : undefined;
}

/** Chooses the ranks of these matrices and puts their factors in. */
async function replace(found: readonly Decomposed[], { rule, jobs, names, task: { signal } }: Tools & { readonly names: Names }): Promise<WeightRecord[]> {
  const shapes = found.map(({ layer, spectrum }) => ({ rows: layer.matrix.shape[0]!, cols: layer.matrix.shape[1]!, spectrum }));
  const ranks = rule.choose(shapes);
  const factors = await inLanes(found, jobs.parallel, async ({ layer: { matrix }, spectrum: { directions } }, i, own) => {
    const rank = ranks[i];
    return rank === undefined ? undefined : jobs.run(factorsJob, { matrix: await jobs.refer(lazy.cast(matrix, 'float32')), directions, rank }, { signal: own });
  }, signal);
  const records: WeightRecord[] = [];
  for (const [i, { layer, spectrum, method, note }] of found.entries()) {
    const { weight, matrix } = layer;
    const rank = ranks[i];
    const made = factors[i];
    if (rank === undefined || !made) {
      records.push(kept(weight.name, weight.tensor, 'its factors would store no less'));
      continue;
    }
    const bytesBefore = matrix.byteLength;
    const elements = matrix.shape[0]! * matrix.shape[1]!;
    const { down, up, snrDb, maxError } = made;
    replaceProducts(layer, { down: await jobs.tensor(down), up: await jobs.tensor(up) }, names);
    const objective = Math.max(0, spectrum.energies.subarray(0, rank).reduce((left, value) => left - value, spectrum.energy)) / 2;
    records.push({
      name: weight.name, method: `${method} rank ${rank}`, elements, bytesBefore, bytesAfter: (bytesBefore * rank * (matrix.shape[0]! + matrix.shape[1]!)) / elements,
      rank, objective, snrDb, maxError, ...(note !== undefined && { note }),
    });
  }
  return records;
}
