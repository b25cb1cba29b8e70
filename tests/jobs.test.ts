/** Jobs in worker threads: the same result as in this thread, errors by name, an end when they are told to. */
import { createRng, inlineJobs, type Job } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { gptqJob } from '@penjing/quantize';
import { ortJobs } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';

const size = 96;
const cols = 40;

function input() {
  const rng = createRng(4);
  const x = Float32Array.from({ length: 200 * size }, () => rng.normal());
  const hessian = new Float32Array(size * size);
  for (let k = 0; k < 200; k++) for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) hessian[i * size + j]! += x[k * size + i]! * x[k * size + j]!;
  const weights = Float32Array.from({ length: cols * size }, () => rng.normal());
  return { hessian, size, scheme: { bits: 4, blockSize: 32, symmetric: false } as const, matrices: [{ weights, cols }] };
}

describe('jobs on ONNX Runtime', () => {
  test('give what they give on the reference engine', async () => {
    await using jobs = ortJobs({ parallel: 2, threads: 1 });
    const progress: string[] = [];
    const [first, second] = await Promise.all([
      jobs.run(gptqJob, input(), { onProgress: ({ phase }) => progress.push(phase) }),
      jobs.run(gptqJob, input()),
    ]);
    expect(first).toEqual(second);
    expect(progress).toContain('factorise');
    const exact = await inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() }).run(gptqJob, input());
    expect(first.matrices[0]!.objective / exact.matrices[0]!.objective).toBeCloseTo(1, 3);
    const differing = first.matrices[0]!.values.filter((byte, i) => byte !== exact.matrices[0]!.values[i]).length;
    expect(differing / first.matrices[0]!.values.length).toBeLessThan(0.01);
  });

  test('name what is wrong, and the thread goes on', async () => {
    await using jobs = ortJobs();
    const bad = input();
    bad.hessian[5] = NaN;
    bad.hessian[0] = NaN;
    await expect(jobs.run(gptqJob, bad)).rejects.toThrow(/not finite/);
    const missing: Job<unknown, unknown> = { ...(gptqJob as unknown as Job<unknown, unknown>), name: 'nothing' };
    await expect(jobs.run(missing, {})).rejects.toThrow(/exports no job nothing/);
    expect((await jobs.run(gptqJob, input())).dead).toEqual([]);
  });

  test('end at once for the caller who gives up', async () => {
    await using jobs = ortJobs();
    const controller = new AbortController();
    const running = jobs.run(gptqJob, input(), { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect((await jobs.run(gptqJob, input())).dead).toEqual([]);
  });
});
