import { expect, test } from 'vitest';
import type { Device } from '../plan/device.js';
import { plan, planInDetail } from '../planner/plan.js';
import { residualModel } from '../testing/residual-model.js';

const devices: Device[] = ['a', 'b'].map((name) => ({ name, host: 'h', memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e12, cores: 1 }));
const links = [{ from: '*', to: '*', latency: 1e-5, bandwidth: 1e12 }];
const model = residualModel({ hidden: [64, 64, 64, 64], width: 64 });
const options = { model, devices, links, sizes: { batch: 16 }, goal: 'throughput' } as const;

test('one engine is forecast as it was measured, and parts of the model in proportion', async () => {
  const before = await planInDetail(options);
  const latency = (result: typeof before, name: string): number => result.ranked.find((each) => each.name === name)!.forecast.latency;
  const trip = 2e-5;
  const seconds = 3 * (latency(before, 'one device') - trip) + trip;
  const after = await planInDetail({ ...options, times: [{ threads: 1, rows: 16, seconds }] });
  expect(latency(after, 'one device')).toBeCloseTo(seconds, 9);
  expect(latency(after, 'pipeline of 2, whole batches') / latency(before, 'pipeline of 2, whole batches')).toBeGreaterThan(2);
});

test('engines that slow each other down when measured are no replicas that double the throughput', async () => {
  const rate = async (together: number): Promise<number> => {
    const { ranked } = await planInDetail({ ...options, times: [{ threads: 1, rows: 16, seconds: 0.01, together }] });
    return ranked.find(({ name }) => name === 'data: 2 replicas')!.forecast.throughput;
  };
  expect((await rate(0.01)) / (await rate(0.02))).toBeGreaterThan(1.8);
});

test('an engine with all cores that was measured faster than replicas is chosen', async () => {
  const times = [{ threads: 1, rows: 16, seconds: 0.01, together: 0.02 }, { threads: 2, rows: 16, seconds: 0.006 }];
  expect((await plan({ ...options, times })).layout).toEqual({ kind: 'device', device: 'a', threads: 2 });
});

test('an engine with more threads than doctor measured is forecast by the time of just these threads', async () => {
  const engine = { threads: 1, flops: { product: [[1, 1e9]] }, bandwidth: [[1, 1e12]], nodeSeconds: 1e-6, callSeconds: 6e-6 } as const;
  const measured = devices.map((device) => ({ ...device, cores: 4, measured: { engines: [engine], together: engine } }));
  const times = [{ threads: 4, rows: 16, seconds: 0.01 }, { threads: 8, rows: 16, seconds: 0.003 }];
  const { ranked } = await planInDetail({ ...options, devices: measured, times });
  const latency = (name: string): number => ranked.find((each) => each.name === name)!.forecast.latency;
  expect([latency('one device'), latency('one engine on 8 cores')]).toEqual([expect.closeTo(0.01, 6), expect.closeTo(0.003, 6)]);
});
