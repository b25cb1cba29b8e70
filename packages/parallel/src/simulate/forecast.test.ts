import { GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { expect, test } from 'vitest';
import { costBook } from '../cost/cost-book.js';
import type { CallerSpeed, Device } from '../plan/device.js';
import type { Layout } from '../plan/plan.js';
import { cutStages } from '../split/cut-stages.js';
import { residualModel } from '../testing/residual-model.js';
import { forecastOf } from './forecast.js';
import { topology } from './topology.js';
import { transformerModel } from '../testing/transformer-model.js';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `d${i}`);
const devices = (count: number, more: Partial<Device> = {}): Device[] => names(count).map((name) => ({ name, memoryBytes: 32e9, flops: 1e12, memoryBandwidth: 100e9, cores: 1, ...more }));
const FREE = [{ from: '*', to: '*', latency: 0, bandwidth: Infinity }];

/**
 * Shoeybi et al., Megatron-LM, arXiv:1909.08053, Table 1 and Figure 5: weak scaling of tensor parallelism on a DGX-2. V100: 39 TFLOP/s sustained by the
 * baseline on one GPU, 900 GB/s of memory, 150 GB/s of NVLink each way (300 GB/s both together). Activations are checkpointed, so that a
 * step is two forward passes and a backward pass of twice the work, each of the three with two all-reduces per layer.
 */
const published = [
  { gpus: 1, hidden: 1536, layers: 40, heads: 16, scaling: 1 },
  { gpus: 2, hidden: 1920, layers: 54, heads: 20, scaling: 0.907 },
  { gpus: 4, hidden: 2304, layers: 64, heads: 24, scaling: 0.865 },
  { gpus: 8, hidden: 3072, layers: 72, heads: 32, scaling: 0.796 },
];

test('tensor parallelism scales as Megatron-LM measured, within 15 %', () => {
  // FLOP/s of each GPU, over those of one GPU alone.
  const perGpu = published.map(({ gpus, hidden, layers, heads }) => {
    const book = costBook(transformerModel({ hidden, layers, heads, vocabulary: 51200 }), { sizes: { batch: 8, sequence: 1024 } });
    const place = topology(devices(gpus, { flops: 39e12, memoryBandwidth: 900e9 }), [{ from: '*', to: '*', latency: 5e-6, bandwidth: 150e9 }]);
    const { timeline } = forecastOf({ layout: { kind: 'tensor', devices: names(gpus) }, book, place });
    const total = (kind: string): number => timeline.filter((span) => span.kind === kind && span.where === 'd0').reduce((sum, { from, to }) => sum + to - from, 0);
    return book.at(8).flops / gpus / (4 * total('compute') + 3 * total('collective'));
  });
  const scaling = perGpu.map((rate) => rate / perGpu[0]!);
  published.forEach((row, i) => expect(Math.abs(scaling[i]! / row.scaling - 1), `${row.gpus} GPUs: ${scaling[i]}`).toBeLessThan(0.15));
  expect(scaling).toEqual([...scaling].sort((a, b) => b - a));
});

test('a pipeline of equal stages waits as GPipe says, and gains from micro-batches', () => {
  const model = residualModel({ hidden: [4, 4, 4, 4, 4, 4, 4], width: 4 });
  const forecast = (microBatches: number) => {
    const book = costBook(model, { sizes: { batch: 64 } });
    const parts = cutStages(model, { stages: 4, costOf: () => 1 });
    const layout: Layout = { kind: 'pipeline', microBatches, stages: parts.map((part, i) => ({ ...part, layout: { kind: 'device', device: `d${i}` } })) };
    // So slow that calls and nodes cost nothing beside the products.
    return forecastOf({ layout, book, place: topology(devices(4, { flops: 1e3, memoryBandwidth: 1e12 }), FREE) }).forecast;
  };
  const stageShare = forecast(1).bubble;
  expect(stageShare).toBeCloseTo(0.75, 2);
  expect(forecast(16).bubble).toBeLessThan(forecast(4).bubble);
  expect(forecast(16).latency).toBeLessThan(forecast(4).latency);
});

test('replicas share a batch, whole requests go round where there is one row', () => {
  const model = residualModel({ hidden: [64, 64], width: 64 });
  const place = topology(devices(4, { flops: 1e6 }), FREE);
  const rate = (batch: number, count: number): number => {
    const layout: Layout = { kind: 'data', reduction: 'concat', replicas: names(count).map((device) => ({ kind: 'device', device })) };
    return forecastOf({ layout, book: costBook(model, { sizes: { batch } }), place }).forecast.throughput;
  };
  expect(rate(8, 4) / rate(8, 1)).toBeCloseTo(4, 1);
  expect(rate(1, 4) / rate(1, 1)).toBeCloseTo(4, 1);
});

test('unequal replicas go at their own pace, whichever of them is slow', () => {
  const model = residualModel({ hidden: [64, 64], width: 64 });
  const book = costBook(model, { sizes: { batch: 1 } });
  const place = (slow: number) => topology(devices(5).map((device, i) => ({ ...device, flops: i === slow ? 1e5 : 1e6 })), FREE);
  const rate = (slow: number, list: readonly string[]): number => {
    const layout: Layout = { kind: 'data', reduction: 'concat', replicas: list.map((device) => ({ kind: 'device', device })) };
    return forecastOf({ layout, book, place: place(slow) }).forecast.throughput;
  };
  for (const slow of [0, 2, 4]) {
    const each = names(5).map((device) => rate(slow, [device]));
    expect(rate(slow, names(5)) / each.reduce((a, b) => a + b, 0), `d${slow} is slow`).toBeCloseTo(1, 2);
  }
});

test('as many replicas as there may be work at the same time', () => {
  const book = costBook(residualModel({ hidden: [64, 64], width: 64 }), { sizes: { batch: 1 } });
  const place = topology(devices(40, { flops: 1e6 }), FREE);
  const rate = (count: number): number => forecastOf({ layout: { kind: 'data', reduction: 'concat', replicas: names(count).map((device) => ({ kind: 'device', device })) }, book, place }).forecast.throughput;
  expect(rate(40) / rate(1)).toBeCloseTo(40, 1);
});

test('sums and gathers larger than any that was measured go on in proportion', () => {
  const measured = { engines: [], together: { threads: 1, flops: { product: [[1, 1e9]] as const }, bandwidth: [[1, 1e9]] as const, nodeSeconds: 0, callSeconds: 0 }, sums: [[2 ** 11, 1e-5], [2 ** 20, 1e-3]] as const };
  const place = topology(devices(2, { host: 'h', measured }), []);
  expect([0, 2 ** 10, 2 ** 20, 2 ** 22].map((bytes) => place.sumSeconds('d0', bytes))).toEqual([1e-5, 1e-5, 1e-3, 4e-3]);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, lazy.fill('float32', shape, 0));
  // a gather before the Softmax, a sum behind the last product
  const wide = b.op('Softmax', [b.op('MatMul', [b.input('x', tensorType('float32', ['batch', 512])), weight('up', 512, 1024)])]);
  b.output(b.op('MatMul', [b.op('Relu', [b.op('MatMul', [wide, weight('wider', 1024, 2048)])]), weight('down', 2048, 512)]), 'y');
  const exchanged = (batch: number): number => {
    const { timeline } = forecastOf({ layout: { kind: 'tensor', devices: names(2) }, book: costBook(model, { sizes: { batch } }), place });
    return timeline.filter(({ kind, where }) => kind === 'collective' && where === 'd0').reduce((sum, { from, to }) => sum + to - from, 0);
  };
  // (512, 1024) and (512, 512) floats: 2 MiB and 1 MiB
  expect(exchanged(512)).toBeCloseTo(3e-3, 9);
  expect(exchanged(2048)).toBeCloseTo(12e-3, 9);
});

test('requests to shards follow each other, and to an engine they wait at its door', () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, lazy.fill('float32', shape, 0));
  b.output(b.op('MatMul', [b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['batch', 512])), weight('up', 512, 2048)])]), weight('down', 2048, 512)]), 'y');
  const engine = { threads: 1, flops: { product: [[1, 1e12]] }, bandwidth: [[1, 1e15]], nodeSeconds: 0, callSeconds: 0 } as const;
  const list = devices(2, { host: 'h', measured: { engines: [engine], together: engine, caller: { callSeconds: 0, copy: [[1, 1e15]] }, sums: [[1024, 0]] } });
  const place = topology(list, [{ from: 'h', to: 'h', latency: 1e-3, bandwidth: Infinity }]);
  const book = costBook(model, { sizes: { batch: 1 } });
  const forecast = (layout: Layout) => forecastOf({ layout, book, place }).forecast;
  // A way in, a way out and hardly anything to compute: in a stream the shards wait for both.
  const shards = forecast({ kind: 'tensor', devices: names(2) });
  expect(shards.latency).toBeCloseTo(2e-3, 4);
  expect(1 / shards.throughput).toBeCloseTo(2e-3, 4);
  expect(1 / forecast({ kind: 'device', device: 'd0' }).throughput).toBeLessThan(1.1e-3);
});

test('shards have no request at hand when they begin, though others wait', () => {
  const model = residualModel({ hidden: [512, 512], width: 512 });
  const book = costBook(model, { sizes: { batch: 4 } });
  const place = topology(devices(2, { flops: 1e9 }), FREE);
  // Where the next request waits an engine takes half as long.
  const quick = { ...book, correct: (seconds: { alone: number; crowded: number }, _rows: number, _speed: unknown, many: boolean) => (many ? { alone: seconds.alone / 2, crowded: seconds.crowded / 2 } : seconds) };
  const pace = (of: typeof book, layout: Layout): number => forecastOf({ layout, book: of, place }).forecast.throughput;
  const [shards, one]: Layout[] = [{ kind: 'tensor', devices: names(2) }, { kind: 'device', device: 'd0' }];
  expect(pace(quick, shards!)).toBeCloseTo(pace(book, shards!), 6);
  expect(pace(quick, one!)).toBeCloseTo(2 * pace(book, one!), 6);
});

test('devices of one host share its memory', () => {
  const model = residualModel({ hidden: [512, 512, 512], width: 512 });
  const layout: Layout = { kind: 'data', reduction: 'concat', replicas: names(2).map((device) => ({ kind: 'device', device })) };
  const book = costBook(model, { sizes: { batch: 2 } });
  const rate = (more: Partial<Device>): number => forecastOf({ layout, book, place: topology(devices(2, more), FREE) }).forecast.throughput;
  expect(rate({ memoryBandwidth: 1e9, host: 'h' })).toBeLessThan(0.6 * rate({ memoryBandwidth: 1e9 }));
  expect(rate({ flops: 1e9, host: 'h' })).toBeCloseTo(rate({ flops: 1e9 }), 0);
});

test('a thousand devices are simulated within seconds', () => {
  const model = transformerModel({ hidden: 1024, layers: 32, heads: 16, vocabulary: 1024 });
  const book = costBook(model, { sizes: { batch: 1024, sequence: 8 } });
  const place = topology(devices(1024), [{ from: '*', to: '*', latency: 1e-5, bandwidth: 10e9 }]);
  const parts = cutStages(model, { stages: 16, blocks: book.blocks });
  const replica = (at: number): Layout => ({ kind: 'pipeline', microBatches: 8, stages: parts.map((part, i) => ({ ...part, layout: { kind: 'device', device: `d${at * 16 + i}` } })) });
  const layout: Layout = { kind: 'data', reduction: 'concat', replicas: Array.from({ length: 64 }, (_, i) => replica(i)) };
  const { forecast, timeline } = forecastOf({ layout, book, place });
  const computed = timeline.filter(({ kind }) => kind === 'compute');
  // Every replica has 16 rows: two in each of 8 micro-batches, which pass 16 stages.
  expect(computed).toHaveLength(64 * 8 * 16);
  expect(new Set(computed.map(({ where }) => where)).size).toBe(1024);
  expect(forecast.latency).toBeGreaterThan(0);
});

test('places without a link between them are told apart', () => {
  const model = residualModel({ hidden: [4] });
  const place = topology(devices(2), []);
  const layout: Layout = { kind: 'data', reduction: 'concat', replicas: names(2).map((device) => ({ kind: 'device', device })) };
  expect(() => forecastOf({ layout, book: costBook(model, { sizes: { batch: 2 } }), place })).toThrow(expect.objectContaining({ code: 'E_PLAN', message: expect.stringContaining('d0') as string }));
});

test('the calling thread takes part in calls and steps, and of a chain only where it begins and ends', () => {
  const model = residualModel({ hidden: [64, 64, 64], width: 64 });
  const engine = { threads: 1, flops: { product: [[1, 1e12]] }, bandwidth: [[1, 1e12]], nodeSeconds: 0, callSeconds: 1e-6 } as const;
  const seconds = (layout: Layout, caller: Omit<CallerSpeed, 'copy'>, of: Model = model): number => {
    const list = devices(4, { host: 'h', measured: { engines: [engine], together: engine, caller: { ...caller, copy: [[1, 1e15]] } } });
    return 1 / forecastOf({ layout, book: costBook(of, { sizes: { batch: 1 } }), place: topology(list, FREE) }).forecast.throughput;
  };
  const leaf = (i: number): Layout => ({ kind: 'device', device: `d${i}` });
  const replicas: Layout = { kind: 'data', reduction: 'concat', replicas: [leaf(0), leaf(1)] };
  const parts = (count: number) => cutStages(model, { stages: count, costOf: () => 1 }).map((part, i) => ({ ...part, layout: leaf(i) }));
  const pipeline = (stages: ReturnType<typeof parts>): Layout => ({ kind: 'pipeline', microBatches: 1, stages });
  const [call, step, chain] = [{ callSeconds: 1e-3 }, { callSeconds: 1e-3, stepSeconds: 3e-3 }, { callSeconds: 1e-3, stepSeconds: 3e-3, chainSeconds: 4e-3 }];
  // The thread is what is short. A probe of a chain in two stages gives what it was measured with, and three stages cost the thread no more.
  for (const count of [2, 3]) {
    expect([call, step, chain].map((caller) => seconds(pipeline(parts(count)), caller)), `${count} stages`).toEqual([2e-3, 6e-3, 4e-3].map((each) => expect.closeTo(each, 4) as number));
  }
  // All inputs go in together, also those that the second stage reads, and all outputs come out together.
  const masked = new Model();
  masked.opsetImports.set('', 21);
  const b = new GraphBuilder(masked.graph);
  const type = tensorType('float32', ['batch', 64]);
  const hidden = b.op('Relu', [b.input('x', type)], {}, { outputs: ['h'] });
  b.output(hidden, 'h', type);
  b.output(b.op('Add', [hidden, b.input('mask', type)]), 'y', type);
  expect(seconds(pipeline([{ inputs: ['x'], outputs: ['h'], layout: leaf(0) }, { inputs: ['h', 'mask'], outputs: ['y'], layout: leaf(1) }]), chain, masked)).toBeCloseTo(4e-3, 4);
  // What this thread hands on: half a step, one between the two, and half a call for the answer.
  expect(seconds({ kind: 'tasks', parts: parts(2) }, chain)).toBeCloseTo(5e-3, 4);
  const [first, second] = parts(2);
  expect(seconds(pipeline([first!, { ...second!, layout: { kind: 'data', reduction: 'concat', replicas: [leaf(1), leaf(2)] } }]), chain)).toBeCloseTo(5e-3, 4);
  expect(seconds(replicas, chain)).toBeCloseTo(1e-3, 4);
});
