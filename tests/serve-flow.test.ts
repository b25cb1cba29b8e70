/** Several models served as one: branches, ensembles, and what becomes of a request when one of them fails. V2 over JSON, bytes and gRPC. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { decodeGrpcInferResponse, encodeGrpcInferRequest, GRPC_INFER_PATH } from '@penjing/graph-io/v2';
import { createServer, type PenjingServer } from '@penjing/server';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doublingModel, writeModel } from './support/served-models.js';

let folder: string;
let server: PenjingServer;
let url: string;
let target: string;

const at = (...parts: string[]): string => join(folder, ...parts);
const row = tensorType('float32', ['batch', 2]);

function model(build: (b: GraphBuilder) => void): Model {
  const made = new Model();
  made.opsetImports.set('', 17);
  build(new GraphBuilder(made.graph));
  return made;
}

/** y = x + addend. */
const adding = (addend: number): Model => model((b) => b.output(b.op('Add', [b.input('x', row), b.constant('float32', addend)]), 'y', row));
/** c = a · b; d = a − b. */
const joining = (): Model => model((b) => {
  const [first, second] = [b.input('a', row), b.input('b', row)];
  b.output(b.op('Mul', [first, second]), 'c', row);
  b.output(b.op('Sub', [first, second]), 'd', row);
});
/** y[i] = x[table[i]]: fails for a first value that is no place in the table. */
const picking = (): Model => model((b) => {
  const x = b.input('x', row);
  const place: Value = b.op('Cast', [b.op('Gather', [x, b.constant('int64', [0, 0])], { axis: 1 })], { to: 7 });
  b.output(b.op('Gather', [b.constant('float32', [10, 20, 30]), place]), 'y', row);
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-flow-'));
  await mkdir(at('repository', 'graph', 'parts'), { recursive: true });
  await mkdir(at('repository', 'away'));
  await mkdir(at('repository', 'wrong', '1'), { recursive: true });
  await mkdir(at('repository', 'loop'));
  const part = (name: string, made: Model): Promise<string> => writeModel(at('repository', 'graph', 'parts', `${name}.onnx`), made);
  await Promise.all([part('double', doublingModel()), part('three', adding(3)), part('seven', adding(7)), part('join', joining()), part('pick', picking())]);
  await writeModel(at('outside.onnx'), doublingModel());
  const flow = (path: string, content: object): Promise<void> => writeFile(at(path), JSON.stringify(content));
  const parts = 'parts';
  await flow('repository/graph/flow.json', {
    steps: [
      // out of order: what they read says when they run
      { name: 'join', model: `${parts}/join.onnx`, inputs: { a: 'doubled', b: 'more' }, outputs: { c: 'product' } },
      { name: 'double', model: `${parts}/double.onnx`, outputs: { y: 'doubled' } },
      { name: 'add', model: `${parts}/three.onnx`, outputs: { y: 'more' } },
      { name: 'pick', model: `${parts}/pick.onnx`, outputs: { y: 'picked' } },
    ],
    outputs: ['product', 'd', 'picked'],
  });
  const models = ['three', 'seven', 'double'].map((name) => `repository/graph/parts/${name}.onnx`);
  await flow('together.flow.json', { steps: ['mean', 'sum', 'concat'].map((reduction) => ({ models, reduction, outputs: { y: reduction } })), outputs: ['mean', 'sum', 'concat'] });
  await flow('repository/away/flow.json', { steps: [{ model: '../../outside.onnx' }], outputs: ['y'] });
  await flow('repository/wrong/1/flow.json', { steps: [{ model: '../../graph/parts/double.onnx', reduction: 'mean' }], outputs: ['y'] });
  await flow('repository/loop/flow.json', { steps: [{ name: 'a', model: `../graph/${parts}/double.onnx`, inputs: { x: 'q' }, outputs: { y: 'p' } }, { name: 'b', model: `../graph/${parts}/three.onnx`, inputs: { x: 'p' }, outputs: { y: 'q' } }], outputs: ['p'] });
  server = createServer({
    port: 0, grpc: { port: 0 }, log: { level: 'silent' }, repository: at('repository'),
    models: [{ path: at('together.flow.json'), threads: 1 }],
  });
  // three of them are wrong
  await expect(server.load()).rejects.toMatchObject({ code: expect.stringMatching(/^E_(PATH|CONFIG|GRAPH)$/) as string });
  const { main, grpc } = await server.listen();
  url = main.url;
  target = `127.0.0.1:${grpc!.port}`;
}, 120_000);
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true });
});

const json = async (path: string, body?: object): Promise<Record<string, never>> => (await fetch(url + path, body && { method: 'POST', body: JSON.stringify(body) })).json() as Promise<Record<string, never>>;
const input = (...data: number[]): object => ({ inputs: [{ name: 'x', datatype: 'FP32', shape: [data.length / 2, 2], data }] });
const outputs = async (name: string, body: object): Promise<Record<string, number[]>> => {
  const reply = (await json(`/v2/models/${name}/infer`, body)) as unknown as { outputs?: { name: string; data: number[] }[] };
  return Object.fromEntries(reply.outputs?.map((output) => [output.name, output.data]) ?? expect.fail(JSON.stringify(reply)));
};

test('a graph of models says what it reads and gives', async () => {
  expect(await json('/v2/models/graph')).toEqual({
    name: 'graph', versions: ['1'], platform: 'ensemble', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'product', datatype: 'FP32', shape: [-1, 2] }, { name: 'd', datatype: 'FP32', shape: [-1, 2] }, { name: 'picked', datatype: 'FP32', shape: [-1, 2] }],
  });
  expect((await fetch(`${url}/v2/models/graph/ready`)).status).toBe(200);
});

describe('answers', () => {
  test('as JSON', async () => {
    // 2x · (x + 3), 2x − (x + 3), the place that the first value of a row names
    expect(await outputs('graph', input(1, 0.5, 2, -4))).toEqual({ product: [8, 3.5, 20, 8], d: [-2, -2.5, -1, -7], picked: [20, 20, 30, 30] });
    expect(await outputs('graph', { ...input(99, 0), outputs: [{ name: 'd' }] })).toEqual({ d: [96, -3] });
  });

  test('as bytes', async () => {
    const head = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }], outputs: [{ name: 'product', parameters: { binary_data: true } }] });
    const reply = await fetch(`${url}/v2/models/graph/infer`, { method: 'POST', headers: { 'Inference-Header-Content-Length': String(head.length) }, body: Buffer.concat([Buffer.from(head), Buffer.from(Float32Array.of(1, 0.5).buffer)]) });
    const bytes = Buffer.from(await reply.arrayBuffer());
    expect(new Float32Array(new Uint8Array(bytes.subarray(Number(reply.headers.get('Inference-Header-Content-Length')))).buffer)).toEqual(Float32Array.of(8, 3.5));
  });

  test('over gRPC', async () => {
    const client = new Client(target, credentials.createInsecure());
    const request = encodeGrpcInferRequest({ modelName: 'graph', inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [1, 2], Float32Array.of(2, -4)) }] });
    const reply = await new Promise<Buffer>((resolve, reject) => client.makeUnaryRequest(GRPC_INFER_PATH, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, Buffer.from(request), new Metadata(), (error, value) => (error ? reject(error) : resolve(value!))));
    client.close();
    expect(Object.fromEntries(decodeGrpcInferResponse(reply).outputs.map(({ name, tensor }) => [name, [...(tensor as DenseTensor).data]]))).toEqual({ product: [20, 8], d: [-1, -7], picked: [30, 30] });
  });

  test('of ensembles: the mean, the sum, or all', async () => {
    expect(await outputs('together', input(1, 2))).toEqual({ mean: [14 / 3, 18 / 3].map(Math.fround), sum: [14, 18], concat: [4, 5, 8, 9, 2, 4] });
    expect(await json('/v2/models/together')).toMatchObject({ outputs: [{ shape: [-1, 2] }, { shape: [-1, 2] }, { name: 'concat', shape: [-1, 6] }] });
  });
});

test('a branch that fails is the failure of its own request', async () => {
  // batched requests would share their fate: each is tried alone then
  const replies = await Promise.all([1, 7, 0, 2].map((first) => json('/v2/models/graph/infer', { ...input(first, 1) })));
  expect(replies.map((reply) => Object.keys(reply).includes('outputs'))).toEqual([true, false, true, true]);
  expect((replies[1] as unknown as { error: string }).error).toMatch(/indices|out of/);
  expect((await fetch(`${url}/v2/models/graph/ready`)).status).toBe(200);
  expect((await json('/v2/models/graph/stats')) as unknown).toMatchObject({ model_stats: [{ inference_stats: { fail: { count: 1 } } }] });
});

test('flows that are wrong or lead out of the repository are listed with their reason, and nothing else suffers', async () => {
  const index = (await json('/v2/repository/index', {})) as unknown as { name: string; state: string; reason: string }[];
  const reasonOf = (name: string): string => index.find((one) => one.name === name)!.reason;
  expect(reasonOf('away')).toMatch(/leads out of it/);
  expect(reasonOf('wrong')).toMatch(/a step has a model, or models and a reduction/);
  expect(reasonOf('loop')).toMatch(/a, b wait for each other/);
  expect(index.find(({ name }) => name === 'graph')).toMatchObject({ state: 'READY' });
});
