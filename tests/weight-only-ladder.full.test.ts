/** Each method lowers the objective of its own metric on the layers of the embedded model: AWQ against rounding to the nearest, GPTQ against AWQ. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { calibrateLayers, layerGroups, weightMatrices } from '@penjing/core/calibrate';
import { wasmKernels } from '@penjing/kernels';
import { awqJob, gptqJob, type WeightScheme } from '@penjing/quantize';
import { ortJobs } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { embeddedLayers } from './support/embedded-layers.js';

const kernels = wasmKernels();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-ladder-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** ½ Σ (w − q)ᵀ H (w − q) of the nearest rounding of (cols, size). */
function nearest(weights: Float32Array, hessian: Float32Array, size: number, { bits, blockSize, symmetric }: WeightScheme): number {
  const cols = weights.length / size;
  const count = cols * Math.ceil(size / blockSize);
  const stored = { values: new Uint8Array(weights.length), scales: new Float32Array(count), ...(!symmetric && { zeroPoints: new Uint8Array(count) }) };
  const form = { rows: cols, cols: size, bits: bits === 3 ? 4 : bits, blockSize, symmetric, layout: 'linear', scaleDtype: 'float32', ...stored } as const;
  kernels.quantizeBlocks({ ...form, src: weights, srcDtype: 'float32', gridBits: bits });
  const restored = new Float32Array(weights.length);
  kernels.dequantizeBlocks({ ...form, dst: restored });
  let sum = 0;
  for (let c = 0; c < cols; c++) {
    const d = restored.subarray(c * size, (c + 1) * size).map((value, i) => weights[c * size + i]! - value);
    for (let i = 0; i < size; i++) {
      let moved = 0;
      for (let j = 0; j < size; j++) moved += hessian[i * size + j]! * d[j]!;
      sum += moved * d[i]!;
    }
  }
  return sum / 2;
}

describe.skipIf(!process.env['PENJING_FULL'])('on every layer of the embedded model', () => {
  test('AWQ is below rounding to the nearest and GPTQ below AWQ, on at least 95 %', async () => {
    const { model, samples } = await embeddedLayers(folder);

    await using jobs = ortJobs();
    const { groups } = layerGroups(model, weightMatrices(model, ['matmul', 'gemm']).matrices);
    const schemes: WeightScheme[] = ([4, 3, 2] as const).map((bits) => ({ bits, blockSize: 32, symmetric: false }));
    const exceptions: string[] = [];
    let steps = 0;
    for await (const { group, statistics: { gram, magnitudes } } of calibrateLayers(model, { jobs, samples, groups, statistics: ['gram', 'magnitudes'] })) {
      for (const { weight, matrix } of group.layers) {
        // the table of the logits takes as long as all the others
        if (matrix.shape[0]! > 2048) continue;
        const weights = await jobs.refer(matrix);
        const data = new Float32Array(new Uint8Array(await matrix.load()).buffer);
        for (const scheme of schemes) {
          const rounded = nearest(data, gram.sums, gram.channels, scheme);
          const awq = await jobs.run(awqJob, { hessian: gram.sums, magnitudes: magnitudes.means, size: gram.channels, matrices: [{ weights, scheme }] });
          const gptq = await jobs.run(gptqJob, { hessian: gram.sums.slice(), size: gram.channels, scheme, matrices: [{ weights }] });
          // GPTQ's is with the damping in H, which only adds to it.
          const ladder = { nearest: rounded, awq: awq.matrices[0]!.objective, gptq: gptq.matrices[0]!.objective };
          steps += 2;
          if (!(ladder.awq < ladder.nearest)) exceptions.push(`${weight.name} ${scheme.bits} bits: AWQ ${ladder.awq} after the nearest ${ladder.nearest}`);
          if (!(ladder.gptq < ladder.awq)) exceptions.push(`${weight.name} ${scheme.bits} bits: GPTQ ${ladder.gptq} after AWQ ${ladder.awq}`);
        }
      }
    }
    console.log(`${steps} steps, ${exceptions.length} exceptions${exceptions.map((line) => `\n${line}`).join('')}`);
    expect(steps).toBeGreaterThan(100);
    expect(exceptions.length / steps).toBeLessThanOrEqual(0.05);
  }, 900_000);
});
