/** What palettes would lose on the matrices that read one activation: the codebook of a sample of their outputs. */
import { type Job, type JobContext, jobModule } from '@penjing/core';
import { type LossInput, lossMeter, type MatrixLosses } from '@penjing/core/calibrate';
import { weightHistogram } from './histogram.js';
import { bestCodebook } from './kmeans.js';
import { assignEntries, positiveFactors } from './palette-job.js';

/** A codebook of 2 to the power of `bits` entries for a weight. */
export interface PaletteCandidate {
  readonly method: 'palette';
  readonly bits: number;
}

export const paletteLossJob: Job<LossInput<PaletteCandidate>, readonly MatrixLosses[]> = { module: jobModule(import.meta.url, './palette-loss-job'), name: 'paletteLossJob', run: losses };

/** Weights count as much as their inputs are active, where that is known, as `clusterBySensitivity` has it. */
async function losses(input: LossInput<PaletteCandidate>, context: JobContext): Promise<readonly MatrixLosses[]> {
  await using meter = await lossMeter(input, context);
  const { hessian, matrices } = meter;
  const factors = hessian && positiveFactors(Float64Array.from({ length: hessian.size }, (_, i) => hessian.data[i * hessian.size + i]!));
  const histogram = weightHistogram();
  for (const [i, { data }] of matrices.entries()) {
    histogram.add(data, factors);
    const points = histogram.points();
    for (const [index, { bits }] of input.candidates.entries()) {
      const chosen = new Float32Array(data.length);
      assignEntries(data, Float32Array.from(bestCodebook(points, 2 ** bits).entries), undefined, chosen);
      await meter.note(i, index, data.map((weight, at) => weight - chosen[at]!));
    }
  }
  return meter.losses;
}
