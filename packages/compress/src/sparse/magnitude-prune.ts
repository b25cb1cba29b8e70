/** Pruning by magnitude: the nearest sparse weights in no metric but their own. */
import { type JobHost, lazy, type Pass, PenjingError, type TaskOptions, type Tensor, type WeightRecord } from '@penjing/core';
import type { WeightMatrix } from '@penjing/core/calibrate';
import { NO_SPEED_UP, noJobs, prunable, type PruneSelection, recordOf } from './prunable.js';
import { describeSparsity, patternShare, type Sparsity, type SparsityOptions, sparsityOf } from './sparsity.js';
import { type TensorLoss, thresholdJob } from './threshold-job.js';

export interface MagnitudePruneOptions extends SparsityOptions, PruneSelection {
  /** One threshold per weight, or one for all of them together; `layer` when absent. Patterns know layers only. */
  readonly scope?: 'layer' | 'global';
}

/**
 * A lazy pass: the smallest weights become 0 when the model is saved or loaded (kernels of convolutions too). The threshold of a
 * share is counted beforehand, in jobs; a pattern needs none. Throws `E_OPTION` for an impossible sparsity, `E_ENGINE` without a host
 * for jobs where one is needed, `E_NOTHING_TO_DO` when the model has no weight to prune.
 */
export function magnitudePrune(options: MagnitudePruneOptions): Pass {
  const sparsity = sparsityOf(options);
  const { scope = 'layer' } = options;
  if (sparsity.kind === 'pattern' && scope === 'global') throw new PenjingError('E_OPTION', 'a pattern holds in every group of weights: it has no global scope', { hint: 'Leave out --scope, or give --sparsity.' });

  return {
    name: `prune magnitude ${describeSparsity(sparsity)}`,
    async run(model, { jobs, ...task }) {
      const { matrices, leftAlone } = prunable(model, options);
      const records: WeightRecord[] = [...leftAlone];
      const groups = scope === 'global' ? [matrices] : matrices.map((layer) => [layer]);
      for (const [done, layers] of groups.entries()) {
        task.onProgress?.({ phase: 'prune', done, total: groups.length, unit: 'weights' });
        records.push(...(await pruneByMagnitude(layers, sparsity, { jobs, task })));
      }
      model.origin = undefined;
      return { model, modified: true, records, warnings: [NO_SPEED_UP] };
    },
  };
}

interface Tools {
  readonly jobs: JobHost | undefined;
  readonly task: TaskOptions;
}

/** Prunes layers, to one threshold if a share is asked for; gives their records. */
export async function pruneByMagnitude(layers: readonly WeightMatrix[], sparsity: Sparsity, { jobs, task: { signal, onProgress } }: Tools): Promise<WeightRecord[]> {
  const method = `magnitude ${describeSparsity(sparsity)}${layers.length > 1 ? ' of all' : ''}`;
  if (sparsity.kind === 'pattern') {
    return layers.map((layer) => {
      const inputs = inputsOf(layer);
      const share = patternShare(sparsity, inputs);
      if (share === 0) return { ...recordOf(layer, 'none'), note: `it has ${inputs} inputs: too few for ${describeSparsity(sparsity)}` };
      const record = { ...recordOf(layer, method), measuredBy: layer.weight.name, sparsity: share };
      layer.weight.tensor = alongInputs(layer, (rows) => lazy.sparsify(rows, sparsity));
      return record;
    });
  }
  if (!jobs) throw noJobs('counting magnitudes');
  const tensors = [];
  for (const { weight } of layers) tensors.push(await jobs.refer(weight.tensor!));
  const { least, losses } = await jobs.run(thresholdJob, { tensors, share: sparsity.share }, { ...(signal && { signal }), ...(layers.length > 1 && onProgress && { onProgress }) });
  return layers.map((layer, i) => {
    const record = { ...recordOf(layer, method), ...lossRecord(losses[i]!, layers.length > 1 ? 0 : sparsity.share) };
    layer.weight.tensor = lazy.sparsify(layer.weight.tensor!, { kind: 'threshold', least });
    return record;
  });
}

/** `wanted`: share of this weight alone that should have become 0. */
function lossRecord({ below, elements, nonFinite, sumSquares, lostSquares, maxError }: TensorLoss, wanted: number): Partial<WeightRecord> {
  const notes = [
    ...(nonFinite > 0 ? [`${nonFinite} values were not finite and are 0 now`] : []),
    ...(below < 0.95 * wanted * elements ? ['many weights have the same magnitude: none of them was singled out'] : []),
  ];
  return {
    objective: lostSquares / 2,
    sparsity: elements === 0 ? 0 : below / elements,
    snrDb: lostSquares === 0 ? Infinity : 10 * Math.log10(sumSquares / lostSquares),
    maxError,
    ...(notes.length > 0 && { note: notes.join('; ') }),
  };
}

/** Inputs of one output that a pattern runs along: channels, of a kernel at one place. */
function inputsOf({ weight, matrix }: WeightMatrix): number {
  const { shape } = weight.tensor!;
  return shape.length > 2 ? shape[1]! : matrix.shape[1]!;
}

/** Edits rows that run along the inputs; those of a kernel run along its channels, at each of its places. */
function alongInputs({ weight, matrix, stored }: WeightMatrix, edit: (rows: Tensor) => Tensor): Tensor {
  const { shape } = weight.tensor!;
  if (shape.length <= 2) return stored(edit(matrix));
  const [outputs = 0, inputs = 0] = shape;
  const places = shape.slice(2).reduce((product, dim) => product * dim, 1);
  if (places === 1) return lazy.reshape(edit(lazy.reshape(weight.tensor!, [outputs, inputs])), shape);
  const byPlace = lazy.reshape(lazy.transpose(lazy.reshape(weight.tensor!, [outputs, inputs, places]), [0, 2, 1]), [outputs * places, inputs]);
  return lazy.reshape(lazy.transpose(lazy.reshape(edit(byPlace), [outputs, places, inputs]), [0, 2, 1]), shape);
}
