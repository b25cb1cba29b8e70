import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planInput } from './plan-input.js';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'penjing-plan-')); });
afterAll(() => rm(folder, { recursive: true, force: true }));

async function devicesFile(content: unknown): Promise<string> {
  const path = join(folder, 'devices.json');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
const device = (name: string) => ({ name, host: 'h', memoryBytes: 1e9, flops: 50e9, memoryBandwidth: 10e9, cores: 1 });
const sapling = new URL('../../../../models/sapling', import.meta.url).pathname;

test('plans the embedded model and draws what happens when', async () => {
  const devices = await devicesFile({ version: 1, devices: [device('a'), device('b<script>')], links: [] });
  const report = join(folder, 'plan.html');
  const { plan, ranked } = await planInput(sapling, { devices, sizes: { batch: 8 }, goal: 'throughput', report });
  expect(plan.model).toMatchObject({ name: 'sapling', sizes: { batch_size: 8, sequence_length: 64 } });
  expect(ranked.map(({ name }) => name)).toEqual(expect.arrayContaining(['one device', 'data: 2 replicas', 'pipeline of 2, 2 micro-batches', 'tensor 2']));
  const page = await readFile(report, 'utf8');
  expect(page).toContain('<svg class="narrow"');
  expect(page).not.toMatch(/<script|https?:/);
  expect(page).toContain(plan.reasons[0]!.slice(0, 40));
});

test.each([
  ['no JSON', '{', 'E_PLAN'],
  ['no devices', { version: 1, devices: [], links: [] }, 'E_PLAN'],
  ['a field of another program', { version: 1, devices: [{ ...device('a'), exec: 'x' }], links: [] }, 'E_PLAN'],
])('refuses a list of devices with %s', async (_, content, code) => {
  await expect(planInput(sapling, { devices: await devicesFile(content) })).rejects.toMatchObject({ code });
});

test('refuses a list that is not there', async () => {
  await expect(planInput(sapling, { devices: join(folder, 'none.json') })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});

test.each([
  ['on devices of another machine', { goal: 'latency' }, /not of this machine/],
  ['where the goal is memory', { goal: 'memory' }, /nothing of memory/],
] as const)('layouts are not run %s', async (_, options, message) => {
  const devices = await devicesFile({ version: 1, devices: [device('a')], links: [] });
  await expect(planInput(sapling, { devices, tries: 2, ...options })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(message) as string });
});
