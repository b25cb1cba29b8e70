/** GPTQ and AWQ on recorded layers of stories260K against implementations of the papers in PyTorch: `peers/fixtures/weight_only.py`. */
import { readFileSync } from 'node:fs';
import { type DenseTensor, inlineJobs, type TensorReference } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { awqJob, type GptqOrder, gptqJob, type RoundedMatrix, type WeightScheme } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { readTensors } from './support/read-tensors.js';

const folder = new URL('./fixtures/weight-only/', import.meta.url);
const tensors = readTensors(new URL('layers.safetensors', folder));

interface Case extends WeightScheme {
  readonly layer: string;
  /** What PyTorch reached: ½ Σ (w − q)ᵀ H (w − q). */
  readonly objective: Readonly<Record<'rtn' | 'awq' | `gptq ${GptqOrder}`, number>>;
}

const cases = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8')) as Case[];
const kernels = wasmKernels();
const jobs = inlineJobs({ engine: referenceEngine(), kernels });
const floats = (name: string): Float32Array => (tensors.get(name)!.data as Float32Array).slice();

describe.each(cases)('$layer, $bits bits, block $blockSize, symmetric $symmetric', ({ layer, bits, blockSize, symmetric, objective: theirs }) => {
  const scheme: WeightScheme = { bits, blockSize, symmetric };
  const matrix = tensors.get(`${layer}.weight`)!;
  const [cols, size] = matrix.shape as [number, number];

  /** Of what is stored, H without damping. */
  async function objective({ values, scales, zeroPoints }: RoundedMatrix, factors?: Float32Array): Promise<number> {
    const load = async (reference: TensorReference): Promise<DenseTensor> => (await jobs.tensor(reference)) as DenseTensor;
    const restored = new Float32Array(cols * size);
    kernels.dequantizeBlocks({
      rows: cols, cols: size, bits: bits === 3 ? 4 : bits, blockSize, symmetric, layout: 'nbits', scaleDtype: 'float32', dst: restored,
      values: (await load(values)).bytes, scales: (await load(scales)).data as Float32Array, ...(zeroPoints && { zeroPoints: (await load(zeroPoints)).bytes }),
    });
    const hessian = floats(`${layer}.hessian`);
    const weights = floats(`${layer}.weight`);
    let sum = 0;
    for (let c = 0; c < cols; c++) {
      const d = Float64Array.from({ length: size }, (_, i) => weights[c * size + i]! - restored[c * size + i]! / (factors?.[i] ?? 1));
      for (let i = 0; i < size; i++) {
        let moved = 0;
        for (let j = 0; j < size; j++) moved += hessian[i * size + j]! * d[j]!;
        sum += moved * d[i]!;
      }
    }
    return sum / 2;
  }

  async function gptq(options: { readonly order?: GptqOrder; readonly scales?: 'range' | 'squares' } = {}): Promise<number> {
    const { matrices } = await jobs.run(gptqJob, { ...options, hessian: floats(`${layer}.hessian`), size, scheme, matrices: [{ weights: await jobs.refer(matrix) }] });
    return objective(matrices[0]!);
  }

  test.each(['none', 'inputs', 'blocks'] as const)('GPTQ with order %s is that of PyTorch', async (order) => {
    const ratio = (await gptq({ order, scales: 'range' })) / theirs[`gptq ${order}`];
    expect(ratio).toBeLessThan(1.005);
    expect(ratio).toBeGreaterThan(0.995);
  });

  test('AWQ reaches what PyTorch reaches, GPTQ as it is by default less than all of them', async () => {
    const input = { hessian: floats(`${layer}.hessian`), magnitudes: floats(`${layer}.magnitudes`), size };
    const { matrices, factors } = await jobs.run(awqJob, { ...input, matrices: [{ weights: await jobs.refer(matrix), scheme }] });
    const awq = await objective(matrices[0]!, factors);
    expect(awq / theirs.awq).toBeLessThan(1.02);
    expect(Math.abs(awq / matrices[0]!.objective - 1)).toBeLessThan(1e-3);
    expect(awq).toBeLessThan(theirs.rtn);
    expect(await gptq()).toBeLessThan(Math.min(theirs.awq, theirs['gptq none'], theirs['gptq inputs'], theirs['gptq blocks']));
  });
});
