/** What every rounding would lose on the matrices that read one activation: one Hessian, a sample of the outputs. */
import { type Job, type JobContext, jobModule } from '@penjing/core';
import { type LossInput, lossMeter, type MatrixLosses, type SampledRows } from '@penjing/core/calibrate';
import { type GptqProjection, gptqRounding } from '../gptq/gptq-job.js';
import type { WeightCandidate } from './candidates.js';
import { roundPlainly } from './round-plainly.js';

export const lossJob: Job<LossInput<WeightCandidate>, readonly MatrixLosses[]> = { module: jobModule(import.meta.url, './loss-job'), name: 'lossJob', run: losses };

async function losses(input: LossInput<WeightCandidate>, context: JobContext): Promise<readonly MatrixLosses[]> {
  await using meter = await lossMeter(input, context);
  const { matrices, hessian, products } = meter;
  for (const [index, candidate] of input.candidates.entries()) {
    // Where the Hessian is known GPTQ loses less than HQQ for the same bytes, on every layer that was measured.
    if (candidate.method === 'gptq' || (candidate.method === 'hqq' && hessian)) continue;
    for (const [i, matrix] of matrices.entries()) await meter.note(i, index, difference(matrix.data, roundPlainly(matrix, candidate, context.kernels)));
  }
  if (!hessian) return meter.losses;
  const gptq = input.candidates.flatMap((candidate, index) => (candidate.method === 'gptq' ? [{ candidate, index }] : []));
  // One factorisation per size of blocks serves every matrix and grid.
  for (const blockSize of new Set(gptq.map(({ candidate }) => candidate.blockSize))) {
    const chosen = gptq.filter(({ candidate }) => candidate.blockSize === blockSize);
    const { round, order } = await gptqRounding({ hessian: hessian.data.slice(), size: hessian.size, scheme: chosen[0]!.candidate }, products, context);
    for (const [i, matrix] of matrices.entries()) {
      for (const { candidate, index } of chosen) await meter.note(i, index, inputsLast(await round(matrix.data, matrix.rows, candidate), matrix, order));
    }
  }
  return meter.losses;
}

function difference(weights: Float32Array, rounded: Float32Array): Float32Array {
  return weights.map((weight, i) => weight - rounded[i]!);
}

/** w − q of a matrix that was rounded with its inputs as rows, as (rows, cols). */
function inputsLast({ turned, values }: GptqProjection, { rows, cols }: SampledRows, order: Uint32Array | undefined): Float32Array {
  const differences = new Float32Array(rows * cols);
  for (let place = 0; place < cols; place++) {
    const input = order?.[place] ?? place;
    for (let row = 0; row < rows; row++) differences[row * cols + input] = turned[place * rows + row]! - values[place * rows + row]!;
  }
  return differences;
}
