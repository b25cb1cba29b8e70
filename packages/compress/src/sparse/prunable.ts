/** Which weights of a model are pruned one by one, and what is said of the others. */
import { type Model, PenjingError, type Tensor, type WeightRecord } from '@penjing/core';
import { matchesName } from '../layer-rules.js';
import { type SkippedWeight, type WeightKind, type WeightMatrix, weightMatrices } from '@penjing/core/calibrate';

export interface PruneSelection {
  /** Lookup tables too; false when absent. */
  readonly embeddings?: boolean;
  /** Weights to leave alone: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
}

/** Measured: `bench/RESULTS.md`, "Sparse weights". */
export const NO_SPEED_UP = 'zeros among the weights make nothing faster on ONNX Runtime CPU, nor the file smaller: its kernels multiply by them. They compress well (gzip)';

export interface Prunable {
  readonly matrices: readonly WeightMatrix[];
  readonly leftAlone: readonly WeightRecord[];
}

/** Throws `E_NOTHING_TO_DO` when nothing is left. */
export function prunable(model: Model, { embeddings = false, exclude = [] }: PruneSelection): Prunable {
  const kinds: WeightKind[] = ['matmul', 'gemm', 'conv', ...(embeddings ? (['gather'] as const) : [])];
  const { matrices, skipped } = weightMatrices(model, kinds);
  const refused: SkippedWeight[] = [...skipped];
  const chosen = matrices.filter((layer) => {
    const reason = exclude.some((rule) => matchesName(rule, layer.weight.name)) ? 'excluded' : refusePruning(layer, embeddings);
    if (reason !== undefined) refused.push({ weight: layer.weight, reason });
    return reason === undefined;
  });
  const leftAlone = refused.map(({ weight, reason }): WeightRecord => ({ ...sizes(weight.name, weight.tensor), method: 'none', note: reason }));
  if (chosen.length === 0) {
    const reasons = [...new Set(refused.map(({ reason }) => reason))].join('; ');
    throw new PenjingError('E_NOTHING_TO_DO', `no weight of this model can be pruned${reasons ? `: ${reasons}` : ''}`, { hint: 'Pruning works on constant weights of MatMul, Gemm and Conv.' });
  }
  return { matrices: chosen, leftAlone };
}

/** Why a weight is not pruned; undefined when it can be. */
export function refusePruning({ matrix, sites, otherReaders }: WeightMatrix, embeddings = false): string | undefined {
  if (!embeddings && otherReaders.some(({ opType }) => opType === 'Gather')) return 'it is a lookup table too';
  if (otherReaders.length > 0 && !otherReaders.every(({ opType }) => opType === 'Gather')) return `${otherReaders.map(({ opType }) => opType).join(', ')} reads it too`;
  if (matrix.dtype === 'float64') return 'it is float64';
  return sites.length === 0 ? 'nothing multiplies it' : undefined;
}

/** Name and sizes of a weight that keeps its size. */
function sizes(name: string, tensor: Tensor | undefined): Pick<WeightRecord, 'name' | 'elements' | 'bytesBefore' | 'bytesAfter'> {
  const bytes = tensor?.byteLength ?? 0;
  return { name, elements: tensor?.shape.reduce((product, dim) => product * dim, 1) ?? 0, bytesBefore: bytes, bytesAfter: bytes };
}

export function recordOf({ weight }: WeightMatrix, method: string): Pick<WeightRecord, 'name' | 'method' | 'elements' | 'bytesBefore' | 'bytesAfter'> {
  return { ...sizes(weight.name, weight.tensor), method };
}

export function noJobs(what: string): PenjingError {
  return new PenjingError('E_ENGINE', `${what} needs a host for jobs`, { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
}
