/**
 * Two workers on two cores: what two independent sessions gain over one (the most there is), and what replicas, independent tasks and a two-stage pipeline make of it, beside ONNX Runtime's own two threads.
 * All are measured in turn in every round; figures are medians of the ratios of a round.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { DenseTensor, type Executor, type Feeds, GraphBuilder, Model, type PreparedModel, tensorType } from '@penjing/core';
import { openLayout, openTasks } from '@penjing/parallel/node';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { rawJob } from './parallel-raw-job.js';
import { median } from './timed.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' }, layers: { type: 'string', default: '8' }, width: { type: 'string', default: '1024' },
    rows: { type: 'string', default: '256' }, microRows: { type: 'string', default: '128' },
    out: { type: 'string', default: 'bench/results/parallel.json' },
  },
});
const [rounds, layers, width, rows, microRows] = [values.rounds, values.layers, values.width, values.rows, values.microRows].map(Number) as [number, number, number, number, number];
const MICRO_BATCHES = [8, 32];

/** A perceptron: equal layers, a head of 16 numbers, so that outputs are as small as they should be. */
function perceptron(seed: number): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, columns: number) => b.initializer(name, DenseTensor.of('float32', [width, columns], Float32Array.from({ length: width * columns }, (_, i) => Math.sin(i * 12.9898 + seed) / Math.sqrt(width))));
  let x = b.input('x', tensorType('float32', ['batch', width]));
  for (let i = 0; i < layers; i++) x = b.op('Relu', [b.op('MatMul', [x, weight(`w${i}`, width)])], {}, { outputs: [`h${i}`] });
  b.output(b.op('MatMul', [x, weight('head', 16)]), 'y', tensorType('float32', ['batch', 16]));
  return model;
}

const feedOf = (count: number): DenseTensor => DenseTensor.of('float32', [count, width], Float32Array.from({ length: count * width }, (_, i) => Math.sin(i)));
const device = { kind: 'device', device: 'cpu', threads: 1 } as const;
const cut = `h${layers / 2 - 1}`;
const stages = [{ inputs: ['x'], outputs: [cut], layout: device }, { inputs: [cut], outputs: ['y'], layout: device }];

const model = perceptron(1);
const engine = ortEngine({ threads: 1 });
const open: Executor[] = [];
async function opened<T extends Executor>(executor: Promise<T>): Promise<T> {
  open.push(await executor);
  return executor;
}
const jobs = ortJobs({ parallel: 2, threads: 1 });
try {
  const data = await opened(openLayout(model, { kind: 'data', reduction: 'concat', replicas: [device, device] }, { engine }));
  const twoThreads = await opened(ortEngine({ threads: 2 }).load(model));
  const [left, right] = [await engine.load(perceptron(2)), await engine.load(perceptron(3))];
  const inputs = left.inputs;
  const tasks = await opened(Promise.resolve(openTasks({ inputs, outputs: ['a', 'b'], parts: [{ name: 'left', work: left, outputs: { y: 'a' } }, { name: 'right', work: right, outputs: { y: 'b' } }] })));
  const pipelines = new Map<number, Executor>();
  for (const microBatches of MICRO_BATCHES) pipelines.set(microBatches, await opened(openLayout(model, { kind: 'pipeline', microBatches, stages }, { engine })));
  await using prepared = await jobs.prepare(model);

  const results: Record<string, number>[] = [];
  const wide = { x: feedOf(rows) };
  const half = { x: feedOf(rows / 2) };
  // the pages of both workers, and every session, are warm before the first round
  for (const executor of open) await executor.run(half);
  for (let round = 0; round < rounds; round++) {
    const one = await raw(prepared, 1, rows, 8);
    const two = await raw(prepared, 2, rows / 2, 8);
    const scaling = one / two;
    const row: Record<string, number> = {
      scaling,
      data: one / (await perRun(data, wide, 8)) / scaling,
      tasks: one / (await perRun(tasks, half, 8)) / scaling,
      ort: one / (await perRun(twoThreads, wide, 8)),
    };
    const micro = await raw(prepared, 1, microRows, 16);
    for (const [microBatches, pipeline] of pipelines) {
      const time = await perRun(pipeline, { x: feedOf(microRows * microBatches) }, microBatches > 8 ? 1 : 3);
      row[`pipeline${microBatches}`] = (micro * microBatches) / time / (scaling * (microBatches / (microBatches + stages.length - 1)));
    }
    results.push(row);
    console.log(`round ${round + 1} (load ${loadavg()[0]!.toFixed(1)}): ${Object.entries(row).map(([name, value]) => `${name} ${value.toFixed(3)}`).join('  ')}`);
  }
  const summary = Object.fromEntries(Object.keys(results[0]!).map((name) => {
    const list = results.map((row) => row[name]!);
    return [name, { median: median(list), worst: Math.min(...list), best: Math.max(...list) }];
  }));
  console.log('\nmedians: scaling and ort are speed-ups over one session of one thread; data and tasks are shares of that scaling, pipelines of scaling x M / (M + K - 1)');
  for (const [name, { median: middle, worst, best }] of Object.entries(summary)) console.log(`${name.padEnd(12)} ${middle.toFixed(3)}   [${worst.toFixed(3)}, ${best.toFixed(3)}]`);
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify({ machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`, options: values, summary, results }, undefined, 2)}\n`);
} finally {
  for (const executor of open) await executor[Symbol.asyncDispose]();
  await jobs[Symbol.asyncDispose]();
}

/** Milliseconds of a run of as many rows in each of `workers` sessions at once, with nothing between the runs. */
async function raw(prepared: PreparedModel, workers: number, count: number, runs: number): Promise<number> {
  const { dtype, shape, bytes } = feedOf(count);
  const waiting = new Int32Array(new SharedArrayBuffer(4)).fill(workers);
  const times = await Promise.all(Array.from({ length: workers }, () => jobs.run(rawJob, { model: { kind: prepared.kind, reference: prepared.reference }, runs, feed: { name: 'x', dtype, shape, bytes }, waiting })));
  return Math.max(...times) / runs;
}

async function perRun(executor: Executor, feeds: Feeds, runs: number): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < runs; i++) await executor.run(feeds);
  return (performance.now() - started) / runs;
}

