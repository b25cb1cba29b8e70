/** `penjing plan --try` on the real engine: what layouts gave stands beside what they were expected to give. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, lazy, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { readPlan } from '@penjing/parallel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';

let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-plan-try-'));
  const model = new Model();
  model.opsetImports.set('', 17);
  model.irVersion = 9;
  const b = new GraphBuilder(model.graph);
  const hidden = b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['batch', 16])), b.initializer('up', lazy.fill('float32', [16, 32], 0.1))])]);
  b.output(b.op('MatMul', [hidden, b.initializer('down', lazy.fill('float32', [32, 16], 0.1))]), 'y', tensorType('float32', ['batch', 16]));
  await saveFile(at('model.onnx'), serializeOnnx(model, { name: 'model.onnx' }));
  const device = (name: string) => ({ name, host: hostname() || 'localhost', memoryBytes: 1e9, flops: 50e9, memoryBandwidth: 10e9, cores: 1 });
  await writeFile(at('devices.json'), JSON.stringify({ version: 1, devices: [device('a'), device('b')], links: [] }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('two layouts are run, and the plan, its words and the table have both numbers', async () => {
  const { code, stdout, stderr } = await run('plan', at('model.onnx'), '--devices', at('devices.json'), '--size', 'batch=8', '--try', '2', '-o', at('plan.json'));
  expect(stderr).not.toMatch(/E_[A-Z]+/);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Chosen for latency: .* for one request as measured \(forecast .* for one request\)/);
  expect(stdout).toMatch(/2 layouts were run: .*; everything else is forecast\./);
  expect(stdout).toMatch(/layout +measured +one request/);
  const { considered = [], layout } = readPlan(await readFile(at('plan.json'), 'utf8'), 'plan.json');
  const tried = considered.filter(({ measured }) => measured);
  expect(tried).toHaveLength(2);
  for (const { measured, forecast } of tried) {
    expect(measured!.latency!).toBeGreaterThan(0);
    expect(forecast!.latency).toBeGreaterThan(0);
  }
  // What was measured goes first, and the first one is the plan.
  expect(considered.slice(0, 2)).toEqual(tried);
  expect(layout.kind).toBeTypeOf('string');
  // What was tried runs.
  expect((await run('run', at('model.onnx'), '--plan', at('plan.json'), '--shape', 'x=8,16', '--quiet')).code).toBe(0);
}, 180_000);
