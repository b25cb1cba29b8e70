/**
 * Two workers on two cores: what two independent sessions gain over one (the most there is), and what replicas, independent tasks and a two-stage pipeline make of it, beside ONNX Runtime's own two threads.
 * All are measured in turn in every round; figures are ratios of the shortest times, and of medians, over rounds in which nobody else used the machine.
 * With `--devices FILE` (`penjing doctor --links -o FILE`) the planner's forecast of each stands beside its median.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { DenseTensor, type Executor, type Feeds, GraphBuilder, Model, type PreparedModel, tensorType } from '@penjing/core';
import { openLayout, openTasks } from '@penjing/parallel/node';
import { foreignCores } from '@penjing/recipe';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { rawJob } from './parallel-raw-job.js';
import { runForecaster } from './parallel-run-forecasts.js';
import { median } from './timed.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' }, layers: { type: 'string', default: '8' }, width: { type: 'string', default: '1024' },
    rows: { type: 'string', default: '256' }, microRows: { type: 'string', default: '128' },
    devices: { type: 'string' }, out: { type: 'string', default: 'bench/results/parallel.json' },
  },
});
const [rounds, layers, width, rows, microRows] = [values.rounds, values.layers, values.width, values.rows, values.microRows].map(Number) as [number, number, number, number, number];
const MICRO_BATCHES = [8, 32];
/** Of so many rows each, a piece for every stage. After as many V8 has compiled what it will: compiling takes a core of both, and a server does it once. */
const WARM_RUNS = 300;
const SMALL_ROWS = 4 * Math.max(...MICRO_BATCHES);
/** Rounds in which others had more cores are kept in the file and count for nothing: what they take from two workers they do not take from one. */
const CALM = 0.06;
const MOST_TRIES = 3;
/** Runs in a timing. What a stream of requests begins and ends with, one engine alone at work, is of some runs less than a hundredth of them. */
const RUNS = 24;
/** Batches in a timing of a pipeline, by their micro-batches: one client, so that every batch fills and drains the stages, as its bound says. */
const batchesOf = (microBatches: number): number => 2 * (microBatches > 8 ? 1 : 3);
/** The model is timed for forecasts before the first of so many rounds. */
const ROUNDS_PER_TIMING = 4;

/** A perceptron: equal layers, a head of 16 numbers, so that outputs are as small as they should be. With several outputs one beside the other on the same input. */
function perceptron(seed: number, outputs: readonly string[] = ['y']): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['batch', width]));
  outputs.forEach((output, tower) => {
    const at = tower === 0 ? '' : `.${tower}`;
    const weight = (name: string, columns: number) => b.initializer(`${name}${at}`, DenseTensor.of('float32', [width, columns], Float32Array.from({ length: width * columns }, (_, i) => Math.sin(i * 12.9898 + seed + tower) / Math.sqrt(width))));
    let h = x;
    for (let i = 0; i < layers; i++) h = b.op('Relu', [b.op('MatMul', [h, weight(`w${i}`, width)])], {}, { outputs: [`h${i}${at}`] });
    b.output(b.op('MatMul', [h, weight('head', 16)]), output, tensorType('float32', ['batch', 16]));
  });
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

  const forecaster = values.devices === undefined ? undefined : await runForecaster(values.devices, { model, cut, rows, both: perceptron(2, ['a', 'b']), microRows, microBatches: MICRO_BATCHES });
  const results: { readonly times: Record<string, number>; readonly others: number; readonly calm: boolean }[] = [];
  const calm = (): Record<string, number>[] => results.filter((round) => round.calm).map(({ times }) => times);
  // Made once: 4 million sines and the pages for them between two measurements would be a part of the second.
  const wide = { x: feedOf(rows) };
  const half = { x: feedOf(rows / 2) };
  const micro = feedOf(microRows);
  const small = { x: feedOf(SMALL_ROWS) };
  const batches = new Map(MICRO_BATCHES.map((count) => [count, { x: feedOf(microRows * count) }]));
  // The pages of both workers, every session, and the code between them, which V8 compiles by and by, are warm before the first round.
  for (const executor of open) {
    for (let i = 0; i < WARM_RUNS; i++) await executor.run(small);
    await executor.run(half);
  }
  while (calm().length < rounds && results.length < MOST_TRIES * rounds) {
    if (results.length % ROUNDS_PER_TIMING === 0) await forecaster?.measure();
    const othersTook = foreignCores();
    const timings: [string, () => Promise<number>][] = [
      ['one', () => raw(prepared, 1, wide.x, RUNS / 2)],
      ['data', () => perRun(data, wide, RUNS)],
      ['two', () => raw(prepared, 2, half.x, RUNS)],
      ['tasks', () => perRun(tasks, half, RUNS)],
      ['micro', () => raw(prepared, 1, micro, RUNS)],
      ...[...pipelines].map(([microBatches, pipeline]) => [`pipeline${microBatches}`, () => perRun(pipeline, batches.get(microBatches)!, batchesOf(microBatches), 1)] as [string, () => Promise<number>]),
      ['ort', () => perRun(twoThreads, wide, RUNS / 2)],
    ];
    // The host gives more and less from second to second: each has every place in turn.
    const times: Record<string, number> = {};
    for (let i = 0; i < timings.length; i++) {
      const [name, measure] = timings[(i + results.length) % timings.length]!;
      times[name] = await measure();
    }
    const others = othersTook();
    results.push({ times, others, calm: others <= CALM });
    console.log(`round ${results.length} (others ${others.toFixed(2)} cores): ${Object.entries(gains(times)).map(([name, value]) => `${name} ${value.toFixed(3)}`).join('  ')}`);
  }
  if (calm().length < rounds) console.log(`only ${calm().length} rounds had the machine to themselves${calm().length === 0 ? ': all count' : ''}`);
  const counted = calm().length > 0 ? calm() : results.map(({ times }) => times);
  // Others take time away and never give any: the shortest time of each says most of what the code costs.
  const over = (pick: (list: readonly number[]) => number): Record<string, number> => gains(Object.fromEntries(Object.keys(counted[0]!).map((name) => [name, pick(counted.map((times) => times[name]!))])));
  const summary = { shortest: over((list) => Math.min(...list)), medians: over(median) };
  console.log('\nscaling and ort are speed-ups over one session of one thread; data and tasks are shares of that scaling, pipelines of scaling x M / (M + K - 1)');
  for (const [kind, row] of Object.entries(summary)) console.log(`${kind.padEnd(9)} ${Object.entries(row).map(([name, value]) => `${name} ${value.toFixed(3)}`).join('  ')}`);
  const forecasts = Object.entries(forecaster?.forecasts() ?? {}).map(([name, forecast]) => {
    const measured = median(counted.map((times) => times[name]!));
    return { name, measured, forecast, error: forecast / measured - 1 };
  });
  console.log(forecasts.length === 0 ? '\nno forecasts: --devices is missing' : '\nms of a run, medians, and what the planner forecast');
  for (const { name, measured, forecast, error } of forecasts) console.log(`${name.padEnd(11)} measured ${measured.toFixed(1)}  forecast ${forecast.toFixed(1)}  ${(100 * error).toFixed(1)} %`);
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify({ machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`, options: values, summary, ...(forecaster && { forecasts }), results }, undefined, 2)}\n`);
} finally {
  for (const executor of open) await executor[Symbol.asyncDispose]();
  await jobs[Symbol.asyncDispose]();
}

function gains({ one, two, data, tasks, ort, micro, ...pipelines }: Record<string, number>): Record<string, number> {
  const scaling = one! / two!;
  const bound = (microBatches: number): number => (scaling * microBatches) / (microBatches + stages.length - 1);
  return {
    scaling, data: one! / data! / scaling, tasks: one! / tasks! / scaling, ort: one! / ort!,
    ...Object.fromEntries(MICRO_BATCHES.map((m) => [`pipeline${m}`, (micro! * m) / pipelines[`pipeline${m}`]! / bound(m)])),
  };
}

/** Milliseconds of a run of the same feed in each of `workers` sessions at once, with nothing between the runs. */
async function raw(prepared: PreparedModel, workers: number, { dtype, shape, bytes }: DenseTensor, runs: number): Promise<number> {
  const waiting = new Int32Array(new SharedArrayBuffer(4)).fill(workers);
  const times = await Promise.all(Array.from({ length: workers }, () => jobs.run(rawJob, { model: { kind: prepared.kind, reference: prepared.reference }, runs, feed: { name: 'x', dtype, shape, bytes }, waiting })));
  return Math.max(...times) / runs;
}

/** Milliseconds of a run, when `clients` ask one after the other: with two, one run always waits, as in a stream of requests. */
async function perRun(executor: Executor, feeds: Feeds, runs: number, clients = 2): Promise<number> {
  const started = performance.now();
  let left = runs;
  const client = async (): Promise<void> => {
    while (left-- > 0) await executor.run(feeds);
  };
  await Promise.all(Array.from({ length: clients }, client));
  return (performance.now() - started) / runs;
}

