/** Scores of units against what is really lost when they go, over every choice of units. */
import { createRng, DenseTensor, inlineJobs } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { compensateJob, scoreJob } from './unit-job.js';

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
const OUTPUTS = 5;

/** XᵀX of 200 samples of units of `each` features; unit `twin` repeats the unit before it, up to a little noise. */
function layer(units: number, each: number, seed: number, twin?: number): { features: number; weights: Float32Array; sums: Float32Array; units: Uint32Array[] } {
  const rng = createRng(seed);
  const features = units * each;
  const sums = new Float32Array(features * features);
  for (let sample = 0; sample < 200; sample++) {
    const common = rng.normal();
    const x = Float64Array.from({ length: features }, () => rng.normal() + common);
    if (twin !== undefined) for (let k = 0; k < each; k++) x[twin * each + k] = x[(twin - 1) * each + k]! + 0.01 * rng.normal();
    for (let i = 0; i < features; i++) for (let j = 0; j < features; j++) sums[i * features + j]! += x[i]! * x[j]!;
  }
  return { features, sums, weights: Float32Array.from({ length: features * OUTPUTS }, () => rng.normal()), units: Array.from({ length: units }, (_, u) => Uint32Array.from({ length: each }, (_, k) => u * each + k)) };
}

async function scoresOf({ features, weights, sums, units }: ReturnType<typeof layer>, remove: number): Promise<Float64Array> {
  const matrix = await jobs.refer(DenseTensor.of('float32', [features, OUTPUTS], weights));
  return (await jobs.run(scoreJob, { matrix, units, statistic: { kind: 'gram', sums: sums.slice() }, weigh: { by: 'rest', remove } })).scores;
}

async function lossOf({ features, weights, sums, units }: ReturnType<typeof layer>, gone: readonly number[]): Promise<number> {
  const matrix = await jobs.refer(DenseTensor.of('float32', [features, OUTPUTS], weights));
  const removed = Uint32Array.from(gone.flatMap((u) => [...units[u]!])).sort();
  const kept = Uint32Array.from({ length: features }, (_, i) => i).filter((i) => !removed.includes(i));
  return (await jobs.run(compensateJob, { matrix, sums: sums.slice(), removed, kept })).objective;
}

const lowest = (scores: Float64Array, count: number): number[] => [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!).slice(0, count);

describe('scores by what the rest makes up for', () => {
  test('are what is lost with one unit', async () => {
    const made = layer(6, 3, 1);
    const scores = await scoresOf(made, 0);
    // the score is damped by 0.01 and the fit by 0.001
    for (let u = 0; u < 6; u++) expect(scores[u]! / (await lossOf(made, [u]))).toBeCloseTo(1, 1);
  });

  test('of twins one stays, though each alone would not be missed', async () => {
    const made = layer(8, 2, 2, 5);
    expect(lowest(await scoresOf(made, 0), 2).sort()).toEqual([4, 5]);
    const chosen = lowest(await scoresOf(made, 2), 2);
    expect(chosen.filter((u) => u === 4 || u === 5)).toHaveLength(1);
    expect(await lossOf(made, chosen)).toBeLessThan(0.3 * (await lossOf(made, [4, 5])));
  });

  test('of every choice of units the one that is found is among the best', async () => {
    let [ratio, alone] = [0, 0];
    const cases = 20;
    for (let seed = 0; seed < cases; seed++) {
      const made = layer(6, 2, 10 + seed, seed % 2 === 0 ? 3 : undefined);
      const losses: number[] = [];
      for (let a = 0; a < 6; a++) for (let b = a + 1; b < 6; b++) for (let c = b + 1; c < 6; c++) losses.push(await lossOf(made, [a, b, c]));
      const optimum = Math.min(...losses);
      const found = await lossOf(made, lowest(await scoresOf(made, 3), 3));
      expect(found).toBeGreaterThanOrEqual(optimum * (1 - 1e-4));
      ratio += found / optimum / cases;
      alone += (await lossOf(made, lowest(await scoresOf(made, 0), 3))) / optimum / cases;
    }
    expect(ratio).toBeLessThan(1.1);
    expect(ratio).toBeLessThan(alone);
  });

  test('what is not finite is an error', async () => {
    const made = layer(3, 2, 4);
    made.sums[0] = NaN;
    await expect(scoresOf(made, 1)).rejects.toMatchObject({ code: 'E_DATA' });
  });
});
