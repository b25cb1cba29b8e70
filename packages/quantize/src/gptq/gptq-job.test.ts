/** GPTQ on the reference engine: what it stores, what it says that it reached, and against rounding to the nearest. */
import { createRng, DenseTensor, inlineJobs, type TensorReference } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { storedBits, type WeightScheme } from '../scheme.js';
import type { StoredBlocks } from '../block-codes.js';
import type { RoundedMatrix } from '../spill-blocks.js';
import { blockOrder, inputOrder } from './activation-order.js';
import { gptqJob } from './gptq-job.js';

const kernels = wasmKernels();
const jobs = inlineJobs({ engine: referenceEngine(), kernels });

interface Layer {
  readonly size: number;
  readonly cols: number;
  readonly hessian: Float32Array;
  readonly weights: Float32Array;
}

function layer(size: number, cols: number, seed: number): Layer {
  const rng = createRng(seed);
  const hessian = new Float32Array(size * size);
  for (let sample = 0; sample < size + 8; sample++) {
    const common = rng.normal();
    const x = Float64Array.from({ length: size }, (_, i) => rng.normal() * (i % 5 === 2 ? 3 : 1) + common);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) hessian[i * size + j]! += x[i]! * x[j]!;
  }
  return { size, cols, hessian, weights: Float32Array.from({ length: cols * size }, () => rng.normal()) };
}

async function weightsOf({ weights, cols, size }: Pick<Layer, 'weights' | 'cols' | 'size'>): Promise<{ weights: TensorReference }> {
  return { weights: await jobs.refer(DenseTensor.of('float32', [cols, size], weights)) };
}

async function stored({ values, scales, zeroPoints }: RoundedMatrix): Promise<StoredBlocks> {
  const load = async (reference: TensorReference): Promise<DenseTensor> => (await jobs.tensor(reference)) as DenseTensor;
  return { values: (await load(values)).bytes, scales: (await load(scales)).data as Float32Array, zeroPoints: zeroPoints && (await load(zeroPoints)).bytes };
}

/** ½ Σ (w − q)ᵀ H (w − q) of a stored matrix, H without its damping. */
function cost({ size, cols, hessian, weights }: Layer, { blockSize, symmetric, ...scheme }: WeightScheme, { values, scales, zeroPoints }: StoredBlocks): number {
  const restored = new Float32Array(cols * size);
  kernels.dequantizeBlocks({ rows: cols, cols: size, bits: storedBits(scheme), blockSize, symmetric, layout: 'nbits', values, scales, scaleDtype: 'float32', ...(zeroPoints && { zeroPoints }), dst: restored });
  let sum = 0;
  for (let c = 0; c < cols; c++) {
    const d = (i: number): number => weights[c * size + i]! - restored[c * size + i]!;
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) sum += d(i) * hessian[i * size + j]! * d(j);
  }
  return sum / 2;
}

function nearest({ size, cols, weights }: Layer, { bits: gridBits, blockSize, symmetric }: WeightScheme): StoredBlocks {
  const bits = storedBits({ bits: gridBits });
  const blocks = Math.ceil(size / blockSize);
  const stored = {
    values: new Uint8Array((cols * blocks * blockSize * bits) / 8),
    scales: new Float32Array(cols * blocks),
    zeroPoints: symmetric ? undefined : new Uint8Array(cols * Math.ceil((blocks * bits) / 8)),
  };
  const { zeroPoints, ...rest } = stored;
  kernels.quantizeBlocks({ src: weights, srcDtype: 'float32', rows: cols, cols: size, bits, gridBits, blockSize, symmetric, layout: 'nbits', scaleDtype: 'float32', ...rest, ...(zeroPoints && { zeroPoints }) });
  return stored;
}

const schemes: readonly WeightScheme[] = [
  { bits: 4, blockSize: 16, symmetric: true },
  { bits: 4, blockSize: 32, symmetric: false },
  { bits: 2, blockSize: 16, symmetric: false },
  { bits: 8, blockSize: 32, symmetric: true },
  { bits: 3, blockSize: 16, symmetric: true },
  { bits: 3, blockSize: 32, symmetric: false },
];

describe('gptq', () => {
  test.each(schemes)('stores what it says: $bits bits, block $blockSize, symmetric $symmetric', async (scheme) => {
    let better = 0;
    const seeds = 12;
    for (let seed = 0; seed < seeds; seed++) {
      const made = layer(seed % 4 === 0 ? 50 : 64, 6, seed);
      const { matrices, damping, dead } = await jobs.run(gptqJob, { ...made, hessian: made.hessian.slice(), scheme, matrices: [await weightsOf(made)], damping: 1e-4, order: (['inputs', 'blocks', 'none'] as const)[seed % 3] });
      expect(dead).toEqual([]);
      expect(damping).toBe(1e-4);
      const [matrix] = matrices;
      const reached = cost(made, scheme, await stored(matrix!));
      expect(Math.abs(reached - matrix!.objective)).toBeLessThan(0.01 * matrix!.objective);
      if (reached < cost(made, scheme, nearest(made, scheme))) better++;
    }
    expect(better / seeds).toBeGreaterThanOrEqual(0.95);
  });

  test('a matrix that the grid holds exactly stays as it is', async () => {
    const scheme: WeightScheme = { bits: 4, blockSize: 16, symmetric: true };
    const made = layer(32, 4, 1);
    const weights = made.weights.map((_, i) => ((i * 7) % 16) - 8);
    const { matrices } = await jobs.run(gptqJob, { ...made, scheme, matrices: [await weightsOf({ ...made, weights })] });
    expect(matrices[0]!.objective).toBe(0);
  });

  test('inputs move, or whole blocks with a short one last, the most active first', () => {
    const diagonal = [1, 1, 5, 9, 3, 4, 100];
    const hessian = Float32Array.from({ length: 49 }, (_, i) => (i % 8 === 0 ? diagonal[i / 8]! : 0));
    expect([...blockOrder(hessian, 7, 2)]).toEqual([3, 2, 5, 4, 0, 1, 6]);
    expect([...inputOrder(hessian, 7)]).toEqual([6, 3, 2, 5, 4, 0, 1]);
  });
});
