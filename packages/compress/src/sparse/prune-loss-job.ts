/** What pruning would lose on the matrices that read one activation: SparseGPT of a sample of their outputs. */
import { type Job, type JobContext, jobModule } from '@penjing/core';
import { type LossInput, lossMeter, type MatrixLosses } from '@penjing/core/calibrate';
import { sparseGptProjection } from './prune-job.js';
import { type SparsityOptions, sparsityOf } from './sparsity.js';

/** A share of zeros in a weight, or a pattern of them. */
export interface SparseCandidate extends SparsityOptions {
  readonly method: 'sparsegpt';
}

export const pruneLossJob: Job<LossInput<SparseCandidate>, readonly MatrixLosses[]> = { module: jobModule(import.meta.url, './prune-loss-job'), name: 'pruneLossJob', run: losses };

/** Weights whose inputs are not known have no losses: there is nothing to make up for what goes. */
async function losses(input: LossInput<SparseCandidate>, context: JobContext): Promise<readonly MatrixLosses[]> {
  await using meter = await lossMeter(input, context);
  const { hessian, matrices, products } = meter;
  if (!hessian) return meter.losses;
  for (const [index, candidate] of input.candidates.entries()) {
    const project = await sparseGptProjection({ kind: 'hessian', sums: hessian.data.slice() }, { size: hessian.size, sparsity: sparsityOf(candidate), products, context });
    for (const [i, { data }] of matrices.entries()) {
      const { values } = await project(data.slice());
      await meter.note(i, index, data.map((weight, at) => weight - values[at]!));
    }
  }
  return meter.losses;
}
