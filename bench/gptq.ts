/** Times GPTQ of one layer: one Hessian, one matrix. `npx tsx --conditions=@penjing/source bench/gptq.ts INPUTS OUTPUTS [BITS]` */
import { createRng, DenseTensor } from '@penjing/core';
import { gptqJob } from '@penjing/quantize';
import { ortJobs } from '@penjing/runtime';

const [size = 4096, cols = 4096, bits = 4] = process.argv.slice(2).map(Number);
const rng = createRng(1);
const samples = 64;
const x = Float32Array.from({ length: samples * size }, () => rng.uniform() - 0.5);
const hessian = new Float32Array(size * size);
for (let i = 0; i < size; i++) {
  for (let k = 0; k < samples; k += 8) {
    const f = x[k * size + i]!;
    for (let j = 0; j < size; j++) hessian[i * size + j]! += f * x[k * size + j]!;
  }
  hessian[i * size + i]! += 1;
}
await using jobs = ortJobs();
for (let run = 0; run < 3; run++) {
  const weights = Float32Array.from({ length: cols * size }, () => rng.uniform() - 0.5);
  const started = performance.now();
  const { matrices, damping } = await jobs.run(gptqJob, { hessian: hessian.slice(), size, scheme: { bits: bits as 4, blockSize: 128, symmetric: false }, matrices: [{ weights: await jobs.refer(DenseTensor.of('float32', [cols, size], weights)) }] });
  console.log(`${size} × ${cols}: ${((performance.now() - started) / 1000).toFixed(2)} s, objective ${matrices[0]!.objective.toFixed(1)}, damping ${damping}`);
}
