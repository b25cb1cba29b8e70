/** How much each weight of a model would lose by each way to change it: one sweep of calibration, nothing is changed. */
import { isPenjingError } from '../errors.js';
import type { Model } from '../graph/model.js';
import type { Job } from '../job.js';
import { lazy } from '../lazy-ops.js';
import type { TensorReference } from '../job.js';
import { type CalibrationOptions } from './calibrate-blocks.js';
import { calibrateLayers } from './calibrate-layers.js';
import { layerGroups } from './layer-groups.js';
import type { LossInput, MatrixLosses } from './loss-meter.js';
import { type WeightMatrix, weightMatrices } from './weight-matrices.js';

/** A family of ways to change a weight, and the job that says what they lose. */
export interface LossMeasure<Candidate> {
  readonly candidates: readonly Candidate[];
  /** What the weight takes afterwards; undefined where this cannot be done to it. */
  readonly bytes: (candidate: Candidate, layer: WeightMatrix) => number | undefined;
  readonly job: Job<LossInput<Candidate>, readonly MatrixLosses[]>;
}

export interface WeightLossOptions<Candidate> extends CalibrationOptions {
  readonly measures: readonly LossMeasure<Candidate>[];
  /** Outputs of a matrix that are tried; 256 when absent. More cost more and say little more. */
  readonly outputs?: number;
}

/** One way to change one weight. */
export interface CandidateLoss<Candidate> {
  readonly candidate: Candidate;
  readonly bytes: number;
  /** Mean energy of the error of the layer's output, per row of activations: Σ (w − q)ᵀ H (w − q). */
  readonly error: number;
  /** 10·log₁₀ of the energy of the output over that of the error. */
  readonly snrDb: number;
}

export interface WeightLosses<Candidate> {
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
  /** `hessian`: as what reaches the weight sees it. `identity`: of the weight itself, where that is not known. */
  readonly metric: 'hessian' | 'identity';
  /** Mean of the diagonal of the Hessian: how strongly the inputs of the layer are driven. 1 in the identity metric. */
  readonly trace: number;
  /** Those that make it smaller. */
  readonly candidates: readonly CandidateLoss<Candidate>[];
  /** Why there are no candidates, or not all. */
  readonly note?: string;
}

/**
 * Weights of MatMul, Gemm and Gather, in the metric of what reaches them where that is known. The model is run over the samples as it
 * is, block by block; a sample of each weight's outputs is changed in every way of every measure, all on one Hessian (Frantar et al.
 * 2022, arXiv:2210.17323). Throws `E_DATA` without samples.
 */
export async function weightLosses<Candidate>(model: Model, { measures, outputs = 256, ...calibration }: WeightLossOptions<Candidate>): Promise<WeightLosses<Candidate>[]> {
  const { jobs, signal } = calibration;
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'gather']);
  const { groups } = layerGroups(model, matrices);
  const found = new Map<WeightMatrix, WeightLosses<Candidate>>();

  const measure = async (layers: readonly WeightMatrix[], gram: LossInput<Candidate>['gram']): Promise<void> => {
    const weights: TensorReference[] = [];
    for (const { matrix } of layers) weights.push(await jobs.refer(lazy.cast(matrix, 'float32')));
    const losses = layers.map((): WeightLosses<Candidate>['candidates'][number][] => []);
    const traces = new Array<number>(layers.length).fill(gram ? 0 : 1);
    const notes = new Set<string>();
    for (const { candidates, bytes, job } of measures) {
      // every job may overwrite its Hessian
      const own = gram && { ...gram, sums: gram.sums.slice() };
      try {
        const results = await jobs.run(job, { gram: own, weights, candidates, outputs }, { ...(signal && { signal }), ...(own && { transfer: [own.sums.buffer] }) });
        for (const [i, layer] of layers.entries()) {
          traces[i] = results[i]!.trace;
          losses[i]!.push(...lossesOf(layer, results[i]!, candidates, bytes));
        }
      } catch (error) {
        if (!isPenjingError(error) || error.code !== 'E_DATA') throw error;
        notes.add(error.message);
      }
    }
    for (const [i, layer] of layers.entries()) {
      found.set(layer, { ...factsOf(layer), metric: gram ? 'hessian' : 'identity', trace: traces[i]!, candidates: losses[i]!, ...(notes.size > 0 && { note: [...notes].join('; ') }) });
    }
  };

  for await (const { group, statistics, problem } of calibrateLayers(model, { ...calibration, groups, statistics: ['gram'] })) {
    await measure(group.layers, problem === undefined ? statistics.gram : undefined);
  }
  for (const matrix of matrices) if (!found.has(matrix)) await measure([matrix], undefined);
  return matrices.map((matrix) => found.get(matrix)!);
}

function factsOf({ weight, matrix }: WeightMatrix): Pick<WeightLosses<never>, 'name' | 'elements' | 'bytes'> {
  const [rows, cols] = matrix.shape as [number, number];
  return { name: weight.name, elements: rows * cols, bytes: weight.tensor!.byteLength };
}

function lossesOf<Candidate>(layer: WeightMatrix, { signal, errors }: MatrixLosses, candidates: readonly Candidate[], bytesOf: LossMeasure<Candidate>['bytes']): CandidateLoss<Candidate>[] {
  const before = layer.weight.tensor!.byteLength;
  return candidates.flatMap((candidate, i) => {
    const [error, bytes] = [errors[i], bytesOf(candidate, layer)];
    if (error === undefined || bytes === undefined || bytes >= before) return [];
    return [{ candidate, bytes, error, snrDb: error === 0 ? Infinity : 10 * Math.log10(signal / error) }];
  });
}
