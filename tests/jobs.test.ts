/** Jobs in worker threads: the same result as in this thread, errors by name, an end when they are told to. */
import { createRng, DenseTensor, denseOf, GraphBuilder, inlineJobs, type Job, type JobHost, Model, tensorType } from '@penjing/core';
import { calibrateBlocks } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { gptqJob } from '@penjing/quantize';
import { ortJobs } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';

const size = 96;
const cols = 40;

async function input(jobs: JobHost) {
  const rng = createRng(4);
  const x = Float32Array.from({ length: 200 * size }, () => rng.normal());
  const hessian = new Float32Array(size * size);
  for (let k = 0; k < 200; k++) for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) hessian[i * size + j]! += x[k * size + i]! * x[k * size + j]!;
  const weights = Float32Array.from({ length: cols * size }, () => rng.normal());
  return { hessian, size, scheme: { bits: 4, blockSize: 32, symmetric: false } as const, matrices: [{ weights: await jobs.refer(DenseTensor.of('float32', [cols, size], weights)) }] };
}

describe('jobs on ONNX Runtime', () => {
  test('give what they give on the reference engine', async () => {
    await using jobs = ortJobs({ parallel: 2, threads: 1 });
    const progress: string[] = [];
    const [first, second] = await Promise.all([
      jobs.run(gptqJob, await input(jobs), { onProgress: ({ phase }) => progress.push(phase) }),
      jobs.run(gptqJob, await input(jobs)),
    ]);
    expect(first).toEqual(second);
    expect(progress).toContain('factorise');
    const inline = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
    const exact = await inline.run(gptqJob, await input(inline));
    expect(first.matrices[0]!.objective / exact.matrices[0]!.objective).toBeCloseTo(1, 3);
    const values = await (await jobs.tensor(first.matrices[0]!.values)).load();
    const wanted = await (await inline.tensor(exact.matrices[0]!.values)).load();
    expect(values.filter((byte, i) => byte !== wanted[i]).length / wanted.length).toBeLessThan(0.01);
  });

  test('name what is wrong, and the thread goes on', async () => {
    await using jobs = ortJobs();
    const bad = await input(jobs);
    bad.hessian[5] = NaN;
    bad.hessian[0] = NaN;
    await expect(jobs.run(gptqJob, bad)).rejects.toThrow(/not finite/);
    const missing: Job<unknown, unknown> = { ...(gptqJob as unknown as Job<unknown, unknown>), name: 'nothing' };
    await expect(jobs.run(missing, {})).rejects.toThrow(/exports no job nothing/);
    expect((await jobs.run(gptqJob, await input(jobs))).dead).toEqual([]);
  });

  test('end at once for the caller who gives up', async () => {
    await using jobs = ortJobs();
    const controller = new AbortController();
    const running = jobs.run(gptqJob, await input(jobs), { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect((await jobs.run(gptqJob, await input(jobs))).dead).toEqual([]);
  });
});

describe('calibration on ONNX Runtime', () => {
  test('gathers what the reference engine gathers, through a shelf on disk', async () => {
    const model = (): Model => {
      const made = new Model();
      made.opsetImports.set('', 17);
      const b = new GraphBuilder(made.graph);
      const rng = createRng(2);
      let x = b.input('x', tensorType('float32', ['n', 8]));
      for (let i = 0; i < 3; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, denseOf('float32', [8, 8], Array.from({ length: 64 }, () => rng.normal())))])], {}, { outputs: [`h${i}`] });
      b.output(x, 'h2');
      return made;
    };
    const samples = [1, 2, 3].map((n) => ({ x: denseOf('float32', [n, 8], Array.from({ length: 8 * n }, (_, i) => Math.sin(i + n))) }));
    const gather = async (host: JobHost): Promise<number[][]> => {
      const found: number[][] = [];
      for await (const { block, statistic } of calibrateBlocks(model(), { jobs: host, samples, collect: (block) => [{ value: block.inputs[0]!.name, statistic: 'gram' }] })) {
        found.push([...statistic(block.inputs[0]!.name, 'gram').sums]);
      }
      return found;
    };
    await using jobs = ortJobs();
    const got = await gather(jobs);
    const wanted = await gather(inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() }));
    expect(got).toHaveLength(3);
    got.forEach((sums, i) => sums.forEach((sum, j) => expect(sum).toBeCloseTo(wanted[i]![j]!, 3)));
  });

  test('a shelf keeps what is put on it until it is closed', async () => {
    await using jobs = ortJobs();
    const shelf = await jobs.openShelf();
    const tensor = denseOf('int64', [2, 0, 3], []);
    await shelf.put('a/b…', tensor);
    await shelf.put('a/b…', denseOf('float32', [2], [1, 2]));
    expect(await shelf.get('a/b…')).toMatchObject({ dtype: 'float32', shape: [2] });
    await shelf.delete('a/b…');
    await expect(shelf.get('a/b…')).rejects.toThrow(/not on the shelf/);
    await shelf[Symbol.asyncDispose]();
    await expect(shelf.put('a', tensor)).rejects.toThrow();
  });
});
