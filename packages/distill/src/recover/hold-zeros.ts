/** Zeros that stay zeros while the other weights are trained. */
import { elementCount, type JobHost, type Model, type TaskOptions } from '@penjing/core';
import { weightMatrices } from '@penjing/core/calibrate';
import { updateKernels } from '../optimizers/kernels.js';
import type { Optimizer } from '../optimizers/optimizer.js';
import { zerosJob } from './zeros-job.js';

export interface HoldZerosOptions {
  /** Weights whose zeros are held; all of them when absent. `prunedWeights` names those of a model: zeros of a bias or of a token that was never seen are nobody's choice. */
  readonly select?: (name: string) => boolean;
}

/**
 * To be chained before an optimizer and before what limits the norm: takes the gradient from weights that are 0. Nothing else is needed and no mask is stored: the optimizers of this package have
 * no momentum where they never saw a gradient, and decay takes its share of nothing, so a 0 stays one, exactly, also when a run goes on from a checkpoint. It is one pass over bytes that
 * clipping reads next; a node W · mask in the graph would be one more product per weight, forward and backward.
 */
export function holdZeros({ select = () => true }: HoldZerosOptions = {}): Optimizer {
  return {
    init: () => new Map(),
    update(weights, gradients) {
      for (const [name, gradient] of gradients) {
        const weight = weights.get(name);
        if (weight && select(name)) updateKernels().holdZeros(gradient, weight);
      }
    },
  };
}

/** The least share of zeros of a weight that counts as pruned. */
const LEAST_SHARE = 0.05;

/**
 * Matrices, kernels and tables of a model of which at least a twentieth is 0, with the share of zeros. What is 0 altogether is not pruned: it has not begun (the second half of an adapter). Counted in
 * a job, one weight in memory at a time.
 */
export async function prunedWeights(model: Model, { jobs, signal }: Pick<TaskOptions, 'signal'> & { readonly jobs: JobHost }): Promise<ReadonlyMap<string, number>> {
  const weights = weightMatrices(model, ['matmul', 'gemm', 'conv', 'gather']).matrices.map(({ weight }) => weight);
  const tensors = await Promise.all(weights.map(({ tensor }) => jobs.refer(tensor!)));
  const { zeros } = await jobs.run(zerosJob, { tensors }, signal ? { signal } : {});
  const shares = weights.map(({ name, tensor }, i) => [name, zeros[i]! / elementCount(tensor!.shape)] as const);
  return new Map(shares.filter(([, share]) => share >= LEAST_SHARE && share < 1));
}
