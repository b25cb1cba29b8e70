/** GPTQ against every possible rounding of small columns: 1,000 seeded cases of at most 6 weights and 2 bits. */
import { createRng, DenseTensor, inlineJobs, type TensorReference } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import type { WeightScheme } from '../scheme.js';
import { gptqJob } from './gptq-job.js';

const kernels = plainKernels({ arenaBytes: 0 });
const jobs = inlineJobs({ engine: referenceEngine(), kernels });
const load = async (reference: TensorReference): Promise<DenseTensor> => (await jobs.tensor(reference)) as DenseTensor;
const HESSIANS = 250;
const COLS = 4;
const DAMPING = 0.01;

/** XᵀX of correlated activations, one input larger than the others. */
function hessianOf(size: number, rng: ReturnType<typeof createRng>): Float32Array {
  const hessian = new Float32Array(size * size);
  for (let sample = 0; sample < 3 * size; sample++) {
    const common = rng.normal();
    const x = Float64Array.from({ length: size }, (_, i) => (rng.normal() + common) * (i === 1 ? 3 : 1));
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) hessian[i * size + j]! += x[i]! * x[j]!;
  }
  return hessian;
}

test.each([true, false])('is never below the best of all roundings, hardly ever behind the nearest one; symmetric %s', async (symmetric) => {
  const scheme: WeightScheme = { bits: 2, blockSize: 16, symmetric };
  const ratios: number[] = [];
  let notWorse = 0;
  for (let seed = 0; seed < HESSIANS; seed++) {
    const rng = createRng(seed);
    const size = 3 + (seed % 4);
    const hessian = hessianOf(size, rng);
    const damped = Float64Array.from(hessian);
    const mean = Array.from({ length: size }, (_, i) => damped[i * size + i]! / size).reduce((sum, value) => sum + value);
    for (let i = 0; i < size; i++) damped[i * size + i]! += DAMPING * mean;
    const weights = Float32Array.from({ length: COLS * size }, () => rng.normal());
    const { matrices } = await jobs.run(gptqJob, { hessian, size, scheme, damping: DAMPING, matrices: [{ weights: await jobs.refer(DenseTensor.of('float32', [COLS, size], weights)) }] });
    const [matrix] = matrices;
    const { objective } = matrix!;
    const values = (await load(matrix!.values)).bytes;
    const scales = (await load(matrix!.scales)).data as Float32Array;
    const zeroPoints = matrix!.zeroPoints && (await load(matrix!.zeroPoints)).bytes;
    const codes = new Uint8Array(COLS * 16);
    kernels.unpack(2, false, values, codes);
    let total = 0;
    for (let c = 0; c < COLS; c++) {
      const w = weights.subarray(c * size, (c + 1) * size);
      const zero = zeroPoints ? zeroPoints[c]! & 3 : 2;
      const cost = (code: (i: number) => number): number => {
        let sum = 0;
        const d = w.map((value, i) => value - (code(i) - zero) * scales[c]!);
        for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) sum += d[i]! * damped[i * size + j]! * d[j]!;
        return sum / 2;
      };
      const reached = cost((i) => codes[c * 16 + i]!);
      const nearest = cost((i) => Math.min(3, Math.max(0, Math.round(w[i]! / scales[c]!) + zero)));
      let optimum = Infinity;
      for (let all = 0; all < 4 ** size; all++) optimum = Math.min(optimum, cost((i) => (all >> (2 * i)) & 3));
      expect(reached).toBeGreaterThanOrEqual(optimum * (1 - 1e-6));
      if (reached <= nearest * (1 + 1e-6)) notWorse++;
      ratios.push(reached / optimum);
      total += reached;
    }
    expect(Math.abs(total - objective)).toBeLessThan(1e-3 * objective);
  }
  ratios.sort((a, b) => a - b);
  const at = (share: number): number => ratios[Math.floor(share * (ratios.length - 1))]!;
  console.log(`GPTQ / optimum of ${ratios.length}: median ${at(0.5).toFixed(3)}, p95 ${at(0.95).toFixed(3)}, most ${at(1).toFixed(3)}; not worse than the nearest rounding in ${(100 * notWorse) / ratios.length} %`);
  expect(notWorse / ratios.length).toBeGreaterThanOrEqual(0.95);
  expect(at(0.5)).toBeLessThan(1.2);
}, 30_000);
