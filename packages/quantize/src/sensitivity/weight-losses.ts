/** How much each weight of a model would lose by each way to round it: one sweep of calibration, nothing is changed. */
import { isPenjingError, type JobHost, lazy, type Model, type TensorReference } from '@penjing/core';
import { type CalibrationOptions, calibrateLayers, layerGroups, type WeightMatrix, weightMatrices } from '@penjing/core/calibrate';
import { candidateBytes, type WeightCandidate, weightCandidates } from './candidates.js';
import { lossJob, type MatrixLosses } from './loss-job.js';

export interface WeightLossOptions extends CalibrationOptions {
  /** Ways to round; those of `weightCandidates` when absent. */
  readonly candidates?: readonly WeightCandidate[];
  /** Outputs of a matrix that are tried; 256 when absent. More cost more and say little more. */
  readonly outputs?: number;
}

/** One way to round one weight. */
export interface CandidateLoss {
  readonly candidate: WeightCandidate;
  readonly bytes: number;
  /** Mean energy of the error of the layer's output, per row of activations: Σ (w − q)ᵀ H (w − q). */
  readonly error: number;
  /** 10·log₁₀ of the energy of the output over that of the error. */
  readonly snrDb: number;
}

export interface WeightLosses {
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
  /** `hessian`: as what reaches the weight sees it. `identity`: of the weight itself, where that is not known. */
  readonly metric: 'hessian' | 'identity';
  /** Mean of the diagonal of the Hessian: how strongly the inputs of the layer are driven. 1 in the identity metric. */
  readonly trace: number;
  readonly candidates: readonly CandidateLoss[];
  /** Why there are no candidates. */
  readonly note?: string;
}

/**
 * Weights of MatMul, Gemm and Gather that can be rounded. The model is run over the samples as it is, block by block; a sample of
 * each weight's outputs is rounded in every way (Frantar et al. 2022; Badri and Shaji 2023). Throws `E_DATA` without samples.
 */
export async function weightLosses(model: Model, options: WeightLossOptions): Promise<WeightLosses[]> {
  const { candidates = weightCandidates, outputs = 256, ...calibration } = options;
  const { jobs, signal } = calibration;
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'gather']);
  const { groups } = layerGroups(model, matrices);
  const found = new Map<WeightMatrix, WeightLosses>();
  const measure = async (layers: readonly WeightMatrix[], gram: { sums: Float32Array; rows: number } | undefined): Promise<void> => {
    const metric = gram ? 'hessian' : 'identity';
    try {
      const losses = await jobs.run(lossJob, { gram, weights: await references(layers, jobs), candidates, outputs }, { ...(signal && { signal }), ...(gram && { transfer: [gram.sums.buffer as ArrayBuffer] }) });
      for (const [i, layer] of layers.entries()) found.set(layer, lossesOf(layer, metric, losses[i]!, candidates));
    } catch (error) {
      if (!isPenjingError(error) || error.code !== 'E_DATA') throw error;
      for (const layer of layers) found.set(layer, { ...factsOf(layer), metric, trace: 0, candidates: [], note: error.message });
    }
  };
  for await (const { group, statistics, problem } of calibrateLayers(model, { ...calibration, groups, statistics: ['gram'] })) {
    await measure(group.layers, problem === undefined ? statistics.gram : undefined);
  }
  for (const matrix of matrices) if (!found.has(matrix)) await measure([matrix], undefined);
  return matrices.map((matrix) => found.get(matrix)!);
}

async function references(layers: readonly WeightMatrix[], jobs: JobHost): Promise<TensorReference[]> {
  const made: TensorReference[] = [];
  for (const { matrix } of layers) made.push(await jobs.refer(lazy.cast(matrix, 'float32')));
  return made;
}

function factsOf({ weight, matrix }: WeightMatrix): Pick<WeightLosses, 'name' | 'elements' | 'bytes'> {
  const [rows, cols] = matrix.shape as [number, number];
  return { name: weight.name, elements: rows * cols, bytes: weight.tensor!.byteLength };
}

function lossesOf(layer: WeightMatrix, metric: WeightLosses['metric'], { signal, errors, trace }: MatrixLosses, candidates: readonly WeightCandidate[]): WeightLosses {
  const [rows, cols] = layer.matrix.shape as [number, number];
  const facts = factsOf(layer);
  return {
    ...facts, metric, trace,
    candidates: candidates.flatMap((candidate, i) => {
      const error = errors[i];
      const bytes = candidateBytes(candidate, rows, cols);
      if (error === undefined || bytes >= facts.bytes) return [];
      return [{ candidate, bytes, error, snrDb: error === 0 ? Infinity : 10 * Math.log10(signal / error) }];
    }),
  };
}
