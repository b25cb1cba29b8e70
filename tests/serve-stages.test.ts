/** A server whose model runs in stages elsewhere: it waits for them, gives what the model gives, and tells when they are gone. */
import { createServer as createSocket } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, Model, tensorType } from '@penjing/core';
import type { Plan } from '@penjing/parallel';
import { servePlannedStage } from '@penjing/recipe';
import { createServer } from '@penjing/server';
import { expect, test } from 'vitest';
import { writeModel } from './support/served-models.js';

const TOKEN = 'sixteen-characters-or-more';

async function freeAddress(): Promise<string> {
  const server = createSocket();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** y = (x + 1) · 2. */
function chain(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const row = tensorType('float32', ['batch', 2]);
  const more = b.op('Add', [b.input('x', row), b.constant('float32', 1)]);
  more.name = 'more';
  b.output(b.op('Mul', [more, b.constant('float32', 2)]), 'y', row);
  return model;
}

test('stages that come late answer through the server', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-stages-'));
  const before = process.env['PENJING_STAGE_TOKEN'];
  process.env['PENJING_STAGE_TOKEN'] = TOKEN;
  const path = await writeModel(join(folder, 'chain.onnx'), chain());
  const device = (name: string): Plan['devices'][number] => ({ name, memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e9, cores: 1 });
  const plan: Plan = {
    version: 1, goal: 'memory', model: { name: 'chain', weightBytes: 8, sizes: {} }, devices: [device('a'), device('b')], links: [], reasons: [],
    layout: { kind: 'pipeline', microBatches: 1, stages: [{ inputs: ['x'], outputs: ['more'], layout: { kind: 'device', device: 'a' } }, { inputs: ['more'], outputs: ['y'], layout: { kind: 'device', device: 'b' } }] },
    forecast: { latency: 1, throughput: 1, memory: {}, bubble: 0, efficiency: 1 },
  };
  const file = join(folder, 'plan.json');
  await writeFile(file, JSON.stringify(plan));
  const [first, second] = [await freeAddress(), await freeAddress()];
  const server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'chain', path, stages: { plan: file, addresses: [first] } }] });
  try {
    const { main } = await server.listen();
    const loading = server.load();
    await using _last = await servePlannedStage(path, { plan: file, stage: 1, listen: second, token: TOKEN });
    await using _first = await servePlannedStage(path, { plan: file, stage: 0, listen: first, next: second, token: TOKEN });
    await loading;
    const infer = async (): Promise<unknown> => (await fetch(`${main.url}/v2/models/chain/infer`, { method: 'POST', body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], data: [1, 2, -3, 0.5] }] }) })).json();
    expect(await infer()).toMatchObject({ outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 2], data: [4, 6, -4, 3] }] });
    expect(await (await fetch(`${main.url}/v2/models/chain`)).json()).toMatchObject({ inputs: [{ name: 'x', shape: [-1, 2] }], outputs: [{ name: 'y' }] });
  } finally {
    await server.close();
    if (before === undefined) delete process.env['PENJING_STAGE_TOKEN'];
    else process.env['PENJING_STAGE_TOKEN'] = before;
    await rm(folder, { recursive: true });
  }
}, 120_000);
