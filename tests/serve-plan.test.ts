/** A server that runs one model as a plan says: replicas and stages give the bytes of one engine through HTTP, shards the numbers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { cutStages, type Layout, type Plan } from '@penjing/parallel';
import { openAsPlanned } from '@penjing/recipe';
import { createServer } from '@penjing/server';
import { expect, test } from 'vitest';
import { writeModel } from './support/served-models.js';

const WIDTH = 128;

function perceptron(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x: Value = b.input('x', tensorType('float32', ['batch', WIDTH]));
  for (let i = 0; i < 4; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, DenseTensor.of('float32', [WIDTH, WIDTH], Float32Array.from({ length: WIDTH * WIDTH }, (_, at) => Math.sin(at * (0.37 + i)) / Math.sqrt(WIDTH))))])]);
  b.output(x, 'y', tensorType('float32', ['batch', WIDTH]));
  return model;
}

const device = (name: string, more: object = {}): Plan['devices'][number] => ({ name, memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e9, cores: 1, ...more });
const planOf = (layout: Layout, devices = [device('a'), device('b')]): string => JSON.stringify({
  version: 1, goal: 'latency', model: { name: 'm', weightBytes: 8, sizes: {} }, devices, links: [], reasons: [], layout, forecast: { latency: 1, throughput: 1, memory: {}, bubble: 0, efficiency: 1 },
} satisfies Plan);

test('a plan of replicas, stages or shards answers as the model does', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-served-'));
  const model = perceptron();
  const path = await writeModel(join(folder, 'model.onnx'), model);
  const leaf = (name: string): Layout => ({ kind: 'device', device: name });
  const layouts: Readonly<Record<string, string>> = {
    data: planOf({ kind: 'data', reduction: 'concat', replicas: [leaf('a'), leaf('b')] }),
    pipeline: planOf({ kind: 'pipeline', microBatches: 2, stages: cutStages(model, { stages: 2 }).map((part, i) => ({ ...part, layout: leaf(i === 0 ? 'a' : 'b') })) }),
    tensor: planOf({ kind: 'tensor', devices: ['a', 'b'] }, [device('a', { host: 'one' }), device('b', { host: 'one' })]),
    elsewhere: planOf({ kind: 'tensor', devices: ['a', 'b'] }, [device('a', { host: 'one' }), device('b', { host: 'two' })]),
    hostless: planOf({ kind: 'tensor', devices: ['a', 'b'] }),
  };
  for (const [name, text] of Object.entries(layouts)) await writeFile(join(folder, `${name}.json`), text);
  await expect(openAsPlanned(path, { plan: join(folder, 'elsewhere.json') })).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringMatching(/shards of one model on one and two/) as string });
  // as the planner and stages take them: each is a host by itself
  await expect(openAsPlanned(path, { plan: join(folder, 'hostless.json') })).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringMatching(/shards of one model on a and b/) as string });
  const server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'whole', path, threads: 1 }, ...Object.keys(layouts).map((name) => ({ name, path, plan: join(folder, `${name}.json`) }))] });
  try {
    const { main } = await server.listen();
    await server.load().catch(() => undefined);
    const infer = async (name: string, rows: number): Promise<number[]> => {
      const data = Array.from({ length: rows * WIDTH }, (_, i) => Math.cos(i * 0.7));
      const reply = await fetch(`${main.url}/v2/models/${name}/infer`, { method: 'POST', body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, WIDTH], data }] }) });
      const body = (await reply.json()) as { outputs: { data: number[] }[] };
      expect(reply.status, JSON.stringify(body).slice(0, 200)).toBe(200);
      return body.outputs[0]!.data;
    };
    for (const rows of [8, 3]) {
      const whole = await infer('whole', rows);
      const most = Math.max(...whole.map(Math.abs));
      for (const name of ['data', 'pipeline']) expect(await infer(name, rows), name).toEqual(whole);
      const shards = await infer('tensor', rows);
      expect(Math.max(...shards.map((value, i) => Math.abs(value - whole[i]!))) / most).toBeLessThan(1e-5);
    }
    for (const name of ['elsewhere', 'hostless']) expect((await fetch(`${main.url}/v2/models/${name}/ready`)).status).not.toBe(200);
  } finally {
    await server.close();
    await rm(folder, { recursive: true });
  }
}, 120_000);
