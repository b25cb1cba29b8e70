import { GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import type { Device, EngineSpeed, Link } from '../plan/device.js';
import { readPlan } from '../plan/read-plan.js';
import { mixtureModel } from '../testing/mixture-model.js';
import { transformerModel } from '../testing/transformer-model.js';
import { residualModel } from '../testing/residual-model.js';
import { plan, planInDetail } from './plan.js';

const model = transformerModel({ hidden: 256, layers: 4, heads: 4, vocabulary: 512, dtype: 'float32' });
const wide: Link = { from: '*', to: '*', latency: 1e-6, bandwidth: 100e9 };
const devices = (count: number, more: Partial<Device> = {}): Device[] =>
  Array.from({ length: count }, (_, i) => ({ name: `d${i}`, host: 'h', memoryBytes: 1e9, flops: 20e9, memoryBandwidth: 1e12, cores: 1, ...more }));
/** Accelerators: no engine spans several. */
const boards = (count: number, more: Partial<Device> = {}): Device[] => devices(count, more).map(({ cores: _cores, ...device }) => device);
const sizes = { batch: 8, sequence: 32 };

test('spreads a batch over the devices, and says so', async () => {
  const made = await plan({ model, devices: boards(4), links: [wide], goal: 'latency', sizes, name: 'tiny' });
  expect(made.layout).toMatchObject({ kind: 'data', reduction: 'concat' });
  expect(made.forecast.latency).toBeLessThan(made.considered!.find(({ name }) => name === 'one device')!.forecast!.latency / 3);
  expect(made.reasons[0]).toMatch(/^Chosen for latency: data: 4 replicas, .* ms for one request, on 4 of 4 devices\.$/);
  expect(made.reasons.join(' ')).toMatch(/next best/);
  expect(made.considered!.filter(({ forecast }) => forecast).map(({ name }) => name)).toEqual(expect.arrayContaining(['tensor 4', 'data: 2 replicas of tensor 2', 'pipeline of 2 of tensor 2, 4 micro-batches']));
  expect(readPlan(JSON.stringify(made))).toEqual(made);
});

test('a model that fits no device alone is cut', async () => {
  const { weightBytes } = (await plan({ model, devices: devices(1), sizes })).model;
  const small = boards(4, { memoryBytes: 0.75 * weightBytes });
  const made = await plan({ model, devices: small, links: [wide], goal: 'throughput', sizes: { batch: 4, sequence: 8 } });
  expect(made.layout.kind).not.toBe('device');
  expect(JSON.stringify(made.layout)).toMatch(/pipeline|tensor/);
  for (const bytes of Object.values(made.forecast.memory)) expect(bytes).toBeLessThanOrEqual(small[0]!.memoryBytes);
  expect(made.considered!.find(({ name }) => name === 'one device')!.refused).toMatch(/needs .* on d0/);
});

test('says how much is short when nothing fits', async () => {
  const failure = await plan({ model, devices: devices(2, { memoryBytes: 1e5 }), sizes }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'E_MEMORY' });
  expect((failure as { details: { short: number } }).details.short).toBeGreaterThan(1e5);
});

test('shards do not cross hosts unless forced', async () => {
  const apart = devices(2).map((device) => ({ ...device, host: device.name }));
  const refused = (await plan({ model, devices: apart, links: [wide], sizes })).considered!.find(({ name }) => name === 'tensor 2')!;
  expect(refused.refused).toMatch(/unless forced/);
  const forced = (await plan({ model, devices: apart, links: [wide], sizes, force: true })).considered!.find(({ name }) => name === 'tensor 2')!;
  expect(forced.forecast!.latency).toBeGreaterThan(0);
});

test('weights too small to pay for a sum are not cut', async () => {
  const made = await plan({ model: residualModel({ hidden: [8, 8], width: 8 }), devices: devices(2), links: [wide], sizes: { batch: 4 } });
  expect(made.considered!.find(({ name }) => name === 'tensor 2')!.refused).toMatch(/worth a sum/);
});

test('slow links are not used', async () => {
  const apart = devices(2).map((device) => ({ ...device, host: device.name }));
  const made = await plan({ model, devices: apart, links: [{ from: 'd0', to: 'd1', latency: 2, bandwidth: 1e6 }], goal: 'latency', sizes });
  expect(made.layout).toEqual({ kind: 'device', device: 'd0' });
  expect(made.reasons.join(' ')).toMatch(/More devices do not pay/);
  // Without any link there is no other way.
  expect((await plan({ model, devices: apart, goal: 'throughput', sizes })).layout).toEqual({ kind: 'device', device: 'd0' });
});

test('more stages and micro-batches are looked at, and the goal decides', async () => {
  const { ranked, plan: made } = await planInDetail({ model: residualModel({ hidden: [64, 64, 64, 64], width: 64 }), devices: devices(4, { flops: 1e6 }), links: [wide], goal: 'memory', sizes: { batch: 16 } });
  const most = (memory: Readonly<Record<string, number>>): number => Math.max(...Object.values(memory));
  expect(most(made.forecast.memory)).toBeLessThanOrEqual(1.03 * Math.min(...ranked.map(({ forecast }) => most(forecast.memory))));
  expect(ranked.map(({ name }) => name)).toEqual(expect.arrayContaining(['one device', 'one engine on 4 cores', 'data: 2 replicas', 'data: 4 replicas', 'pipeline of 4, 8 micro-batches', 'data: 2 replicas of a pipeline of 2, 4 micro-batches']));
});

test('faster devices take more of a pipeline', async () => {
  const [slow, fast] = boards(2);
  const mixed = [{ ...slow!, flops: 1e9 }, { ...fast!, flops: 4e9 }].map(({ host: _host, ...device }) => device);
  const made = await plan({ model, devices: mixed.map((device) => ({ ...device, memoryBytes: 1.25e7 })), links: [wide], goal: 'throughput', sizes });
  if (made.layout.kind !== 'pipeline') throw new Error(`expected a pipeline, not ${made.layout.kind}`);
  const at = (name: string): number => made.forecast.memory[name]!;
  expect(at('d1')).toBeGreaterThan(at('d0'));
});

test('a signal ends it', async () => {
  await expect(plan({ model, devices: devices(4), sizes, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});

test('a plan for 32 devices, 16 of them looked at before, can be read again', async () => {
  const made = await plan({ model: transformerModel({ hidden: 512, layers: 1, heads: 32, vocabulary: 512, dtype: 'float32' }), devices: boards(32), links: [wide], goal: 'memory', sizes: { batch: 1, sequence: 4 } });
  expect(made.considered!.filter(({ forecast }) => forecast).map(({ name }) => name)).toEqual(expect.arrayContaining(['tensor 16', 'tensor 32']));
  expect(readPlan(JSON.stringify(made))).toEqual(made);
});

test('a model that shards cannot share is planned without them, and the reason is said', async () => {
  const noisy = new Model();
  noisy.opsetImports.set('', 21);
  const b = new GraphBuilder(noisy.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, lazy.fill('float32', shape, 0));
  const wider = b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['batch', 256])), weight('up', 256, 1024)])]);
  b.output(b.op('MatMul', [b.op('Add', [wider, b.op('RandomNormalLike', [wider])]), weight('down', 1024, 256)]), 'y');
  const made = await plan({ model: noisy, devices: boards(4), links: [wide], sizes: { batch: 4 } });
  expect(made.layout.kind).not.toBe('tensor');
  for (const name of ['tensor 2', 'tensor 4']) expect(made.considered!.find((each) => each.name === name)!.refused).toMatch(/draws numbers/);
});

test('layouts that were run are ranked by what they gave, and the plan keeps both numbers', async () => {
  const options = { model, devices: boards(4), links: [wide], goal: 'latency', sizes } as const;
  const forecast = await plan(options);
  let tried: string[] = [];
  const made = await plan({
    ...options,
    trials: { most: 3, run: (best) => {
      tried = best.map(({ name }) => name);
      return Promise.resolve([{ name: tried[0]!, failed: 'no room' }, { name: tried[1]!, measured: { latency: 2 } }, { name: tried[2]!, measured: { latency: 1 } }]);
    } },
  });
  expect([tried.length, tried[0]]).toEqual([3, forecast.considered![0]!.name]);
  expect(made.considered!.slice(0, 2).map(({ name, measured }) => [name, measured!.latency])).toEqual([[tried[2], 1], [tried[1], 2]]);
  expect(made.considered!.find(({ name }) => name === tried[0])!.refused).toBe('does not run: no room');
  expect(made.reasons[0]).toMatch(/, 1\.00 s for one request as measured \(forecast .* for one request\), on /);
  const named = `${tried[0]!.charAt(0).toUpperCase()}${tried[0]!.slice(1)}`;
  expect(made.reasons[1]).toBe(`2 layouts were run: ${tried[2]}, ${tried[1]}; everything else is forecast. ${named} was tried and does not run: no room.`);
  expect(made.reasons.join(' ')).toMatch(/ gave 2\.00 s for one request as measured \(forecast .*\): 100 % worse\./);
  expect(readPlan(JSON.stringify(made))).toEqual(made);
});

test('where nothing that was tried runs, it says so', async () => {
  const failing = { most: 1, run: ([first]: readonly { name: string }[]) => Promise.resolve([{ name: first!.name, failed: 'no room' }]) };
  const made = await plan({ model, devices: boards(4), links: [wide], sizes, trials: failing });
  expect(made.reasons[1]).toMatch(/^No layout that was tried runs; everything here is forecast\. .* was tried and does not run: no room\.$/);
});

test('failures of trials are not hidden by a lack of memory elsewhere', async () => {
  const { weightBytes } = (await plan({ model, devices: devices(1), sizes })).model;
  const run = (all: readonly { name: string }[]) => Promise.resolve(all.map(({ name }) => ({ name, failed: 'no such operator' })));
  // One device holds the model, the other one does not.
  const unequal = boards(2).map((device, i) => ({ ...device, host: device.name, memoryBytes: i === 0 ? 10 * weightBytes : 1e4 }));
  const failure = plan({ model, devices: unequal, links: [wide], sizes: { batch: 1, sequence: 8 }, trials: { most: 64, run } });
  await expect(failure).rejects.toMatchObject({ code: 'E_PLAN', message: expect.stringMatching(/does not run: no such operator/) as string, hint: expect.any(String) as string, details: { failed: { 'one device': 'no such operator' } } });
});

test('an engine with the cores of several devices is one engine', async () => {
  const made = await plan({ model, devices: devices(2), links: [wide], goal: 'latency', sizes: { batch: 1, sequence: 8 } });
  expect(made.layout).toMatchObject({ kind: 'device', threads: 2 });
  expect(made.reasons[0]).toMatch(/, one engine with the cores of 2 of 2 devices\.$/);
});

describe('experts', () => {
  // No matrix of an expert can be cut into eight.
  const mixture = mixtureModel({ experts: 8, layers: 1, width: 64, hidden: 4 });

  test('for memory whole experts are given out where nothing smaller can be, and the plan says how', async () => {
    const made = await plan({ model: mixture, devices: boards(8), links: [wide], goal: 'memory', sizes: { tokens: 1 } });
    expect(made.layout).toEqual({ kind: 'tensor', devices: boards(8).map(({ name }) => name), experts: 'only' });
    const { forecast } = made.considered!.find(({ name }) => name === 'one device')!;
    const held = 4 * 64 * 8 + (4 * 2 * 64 * 4 * 8) / 8;
    expect(Math.max(...Object.values(made.forecast.memory))).toBeLessThan(held + 4 * 64 * 8);
    expect(Math.max(...Object.values(made.forecast.memory))).toBeLessThan(0.5 * forecast!.memory['d0']!);
    expect(made.reasons.join(' ')).toMatch(/Of the 8 experts of a mixture every device holds 1 whole, and all of everything else\./);
    expect(readPlan(JSON.stringify(made))).toEqual(made);
  });

  test('are looked at alone, with matrices, and inside replicas and pipelines; more devices than experts are refused', async () => {
    const model = mixtureModel({ experts: 3, layers: 2, width: 64, hidden: 256 });
    const { plan: made } = await planInDetail({ model, devices: boards(4), links: [wide], goal: 'latency', sizes: { tokens: 64 } });
    const named = (name: string) => made.considered!.find((each) => each.name === name);
    for (const name of ['expert 2', 'tensor 2 with whole experts', 'data: 2 replicas of expert 2', 'pipeline of 2 of expert 2, whole batches']) expect([name, named(name)?.forecast?.latency]).toEqual([name, expect.any(Number)]);
    expect(named('expert 4')!.refused).toBe('3 experts cannot be given out to 4 devices');
  });

  test('are no candidate of a model without a mixture', async () => {
    expect((await plan({ model, devices: boards(2), links: [wide], sizes })).considered!.filter(({ name }) => name.includes('expert'))).toEqual([]);
  });
});

function forked(forks: number): Model {
  const made = new Model();
  made.opsetImports.set('', 21);
  const b = new GraphBuilder(made.graph);
  let count = 0;
  const product = (x: Value): Value => b.op('Tanh', [b.op('MatMul', [x, b.initializer(`w${++count}`, lazy.fill('float32', [256, 256], 0.01))])]);
  let x = b.input('x', tensorType('float32', ['batch', 256]));
  for (let i = 0; i < forks; i++) x = b.op('Mul', [product(x), product(x)]);
  b.output(x, 'y');
  return made;
}

test.each([[3, 9], [40, 0]])('%d forks after each other become %d parts: each is a session in a thread of its own', async (forks, parts) => {
  const { ranked } = await planInDetail({ model: forked(forks), devices: devices(2, { flops: 1e9 }), links: [wide], sizes: { batch: 8 } });
  const tasks = ranked.map(({ layout }) => layout).find(({ kind }) => kind === 'tasks');
  expect(tasks?.kind === 'tasks' ? tasks.parts.length : 0).toBe(parts);
});

test('many forks are planned where links and calls are listed as taking no time', async () => {
  const engine: EngineSpeed = { threads: 1, flops: { product: [[1, 1e9]] }, bandwidth: [[1, 1e10]], nodeSeconds: 0, callSeconds: 0 };
  const free = devices(2, { flops: 1e9, measured: { engines: [engine], together: engine } });
  const { ranked } = await planInDetail({ model: forked(12), devices: free, links: [{ ...wide, latency: 0 }], sizes: { batch: 8 } });
  expect(ranked.map(({ name }) => name)).toContain('one device');
  for (const { layout } of ranked) if (layout.kind === 'tasks') expect(layout.parts.length).toBeLessThanOrEqual(16);
});
