/** The Open Inference Protocol V2 of a server with models in processes of their own: clients from the published gRPC schemas, and HTTP with nothing but fetch. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServiceError, status } from '@grpc/grpc-js';
import { createServer, type PenjingServer } from '@penjing/server';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Message, publishedClient, type PublishedClient, publishedSchemas } from './support/published-grpc.js';
import { type echoedTypes, echoModel, spinningModel, writeModel } from './support/served-models.js';
import { testData } from './tools/test-data.js';

let folder: string;
let server: PenjingServer;
let url: string;
let target: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-serve-v2-'));
  const models = [
    { name: 'echo', path: await writeModel(join(folder, 'echo.onnx'), echoModel()), threads: 1 },
    { name: 'plain', path: await writeModel(join(folder, 'plain.onnx'), echoModel(datatypes.filter((datatype) => datatype !== 'FP16'))), threads: 1 },
    { name: 'spin', path: await writeModel(join(folder, 'spin.onnx'), spinningModel()), threads: 1, batching: { lanes: 1 }, maxQueue: 4 },
  ];
  server = createServer({ port: 0, grpc: { port: 0 }, log: { level: 'silent' }, models });
  await server.load();
  const { main, grpc } = await server.listen();
  url = main.url;
  target = `127.0.0.1:${grpc!.port}`;
}, 120_000);
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

/** Two elements of each datatype: as a client writes them, as gRPC's typed contents and JSON carry them, and as bytes. */
const samples: Readonly<Record<keyof typeof echoedTypes, { readonly field?: string; readonly typed?: readonly unknown[]; readonly json?: readonly unknown[]; readonly bytes: Buffer }>> = {
  BOOL: { field: 'bool_contents', typed: [true, false], json: [true, false], bytes: Buffer.of(1, 0) },
  UINT8: { field: 'uint_contents', typed: [0, 255], json: [0, 255], bytes: Buffer.of(0, 255) },
  UINT16: { field: 'uint_contents', typed: [1, 65535], json: [1, 65535], bytes: bytesOf(Uint16Array.of(1, 65535)) },
  UINT32: { field: 'uint_contents', typed: [1, 2 ** 32 - 1], json: [1, 2 ** 32 - 1], bytes: bytesOf(Uint32Array.of(1, 2 ** 32 - 1)) },
  UINT64: { field: 'uint64_contents', typed: ['9007199254740993', '18446744073709551615'], bytes: bytesOf(BigUint64Array.of(9007199254740993n, 18446744073709551615n)) },
  INT8: { field: 'int_contents', typed: [-128, 127], json: [-128, 127], bytes: bytesOf(Int8Array.of(-128, 127)) },
  INT16: { field: 'int_contents', typed: [-32768, 7], json: [-32768, 7], bytes: bytesOf(Int16Array.of(-32768, 7)) },
  INT32: { field: 'int_contents', typed: [-(2 ** 31), 7], json: [-(2 ** 31), 7], bytes: bytesOf(Int32Array.of(-(2 ** 31), 7)) },
  INT64: { field: 'int64_contents', typed: ['-9007199254740993', '7'], bytes: bytesOf(BigInt64Array.of(-9007199254740993n, 7n)) },
  FP16: { bytes: bytesOf(Uint16Array.of(0x3c00, 0xc000)) },
  FP32: { field: 'fp32_contents', typed: [0.5, -2], json: [0.5, -2], bytes: bytesOf(Float32Array.of(0.5, -2)) },
  FP64: { field: 'fp64_contents', typed: [0.1, 1e300], json: [0.1, 1e300], bytes: bytesOf(Float64Array.of(0.1, 1e300)) },
  BYTES: { field: 'bytes_contents', typed: [Buffer.from('a'), Buffer.from('盆景')], json: ['a', '盆景'], bytes: Buffer.concat([Buffer.of(1, 0, 0, 0), Buffer.from('a'), Buffer.of(6, 0, 0, 0), Buffer.from('盆景')]) },
};
const datatypes = Object.keys(samples) as (keyof typeof samples)[];
const head = (datatype: string): { name: string; datatype: string; shape: number[] } => ({ name: datatype, datatype, shape: [1, 2] });

function bytesOf({ buffer }: { readonly buffer: ArrayBufferLike }): Buffer {
  return Buffer.from(new Uint8Array(buffer));
}

const spin = (spins: number, more: Message = {}): Message => ({ model_name: 'spin', inputs: [{ name: 'spins', datatype: 'INT64', shape: [1], contents: { int64_contents: [spins] } }], ...more });
/** Until so many requests wait for the model. */
const waiting = (count: number): Promise<void> => vi.waitFor(async () => expect(/penjing_waiting_requests\{model="spin",version="1"\} (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())![1]).toBe(String(count)), { timeout: 20_000, interval: 10 });
const codeOf = (promise: Promise<unknown>): Promise<number> => promise.then(() => status.OK, (error: ServiceError) => error.code);

describe.skipIf(!testData).each(Object.keys(publishedSchemas) as (keyof typeof publishedSchemas)[])('gRPC by the schema of %s (skipped without PENJING_TESTDATA, where the schema is)', (schema) => {
  let client: PublishedClient;
  beforeAll(async () => void (client = await publishedClient(testData!, schema, target)));
  afterAll(() => client[Symbol.dispose]());

  test('says that it lives and what there is', async () => {
    expect(await client.ask('ServerLive', {})).toEqual({ live: true });
    expect(await client.ask('ServerReady', {})).toEqual({ ready: true });
    expect(await client.ask('ModelReady', { name: 'echo' })).toEqual({ ready: true });
    expect(await client.ask('ServerMetadata', {})).toMatchObject({ name: 'penjing', version: expect.stringMatching(/^\d/) as string, extensions: expect.arrayContaining(['binary_tensor_data', 'model_repository', 'statistics']) as string[] });
    const metadata = await client.ask('ModelMetadata', { name: 'echo', version: '1' });
    expect(metadata).toMatchObject({ name: 'echo', versions: ['1'], platform: 'onnx_onnxv1' });
    expect(metadata['inputs']).toEqual(datatypes.map((datatype) => ({ ...head(datatype), shape: ['-1', '2'] })));
    expect(await codeOf(client.ask('ModelMetadata', { name: 'nobody' }))).toBe(status.NOT_FOUND);
    expect(await codeOf(client.ask('ModelReady', { name: 'echo', version: '9' }))).toBe(status.NOT_FOUND);
  });

  test('infers every datatype, raw', async () => {
    const reply = await client.ask('ModelInfer', { model_name: 'echo', id: 'raw-1', inputs: datatypes.map(head), raw_input_contents: datatypes.map((datatype) => samples[datatype].bytes) });
    expect(reply).toMatchObject({ model_name: 'echo', model_version: '1', id: 'raw-1' });
    expect(reply['outputs']).toMatchObject(datatypes.map((datatype) => ({ name: `${datatype}_out`, datatype, shape: ['1', '2'] })));
    expect(reply['raw_output_contents']).toEqual(datatypes.map((datatype) => samples[datatype].bytes));
  });

  test('infers with typed contents, which cannot carry half floats', async () => {
    const inputs = datatypes.map((datatype) => ({ ...head(datatype), contents: { [samples[datatype].field ?? 'uint_contents']: samples[datatype].typed ?? [1, 2] } }));
    const { code, details } = (await client.ask('ModelInfer', { model_name: 'echo', inputs }).catch((error: unknown) => error)) as ServiceError;
    expect([code, details]).toEqual([status.INVALID_ARGUMENT, expect.stringMatching(/FP16/)]);
    const reply = await client.ask('ModelInfer', { model_name: 'plain', id: 'typed', inputs: inputs.filter(({ datatype }) => datatype !== 'FP16') });
    expect(reply).toMatchObject({ id: 'typed', raw_output_contents: [] });
    expect(reply['outputs']).toMatchObject(datatypes.filter((datatype) => datatype !== 'FP16').map((datatype) => ({ datatype, shape: ['1', '2'], contents: { [samples[datatype].field!]: samples[datatype].typed } })));
  });

  test('gives the outputs that were asked for, and refuses what does not fit', async () => {
    const ask = (more: Message): Promise<Message> => client.ask('ModelInfer', { model_name: 'echo', inputs: datatypes.map(head), raw_input_contents: datatypes.map((datatype) => samples[datatype].bytes), ...more });
    const { outputs, raw_output_contents: raw } = await ask({ outputs: [{ name: 'INT8_out' }, { name: 'BOOL_out' }] });
    expect([outputs, raw]).toEqual([[expect.objectContaining({ name: 'INT8_out' }), expect.objectContaining({ name: 'BOOL_out' })], [samples.INT8.bytes, samples.BOOL.bytes]]);
    for (const wrong of [{ outputs: [{ name: 'nothing' }] }, { raw_input_contents: [samples.BOOL.bytes] }, { inputs: [] }, { inputs: datatypes.map((datatype) => ({ ...head(datatype), shape: ['4611686018427387904', '4'] })) }, { inputs: datatypes.map((datatype) => ({ ...head(datatype), shape: [-1, 2] })) }]) {
      expect(await codeOf(ask(wrong)), JSON.stringify(wrong)).toBe(status.INVALID_ARGUMENT);
    }
  });
});

describe.skipIf(!testData)('gRPC, what Triton adds', () => {
  let client: PublishedClient;
  beforeAll(async () => void (client = await publishedClient(testData!, 'Triton', target)));
  afterAll(() => client[Symbol.dispose]());

  test('index, unload, load and statistics', async () => {
    const index = async (ready = false): Promise<unknown> => (await client.ask('RepositoryIndex', { ready }))['models'];
    expect(await index()).toEqual([{ name: 'echo', version: '1', state: 'READY', reason: '' }, { name: 'plain', version: '1', state: 'READY', reason: '' }, { name: 'spin', version: '1', state: 'READY', reason: '' }]);
    await client.ask('RepositoryModelUnload', { model_name: 'echo' });
    expect(await index(true)).toMatchObject([{ name: 'plain' }, { name: 'spin' }]);
    expect(await client.ask('ModelReady', { name: 'echo' })).toEqual({ ready: false });
    await expect(client.ask('ModelInfer', { model_name: 'echo' })).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await client.ask('RepositoryModelLoad', { model_name: 'echo' });
    await client.ask('ModelInfer', { model_name: 'echo', inputs: datatypes.map(head), raw_input_contents: datatypes.map((datatype) => samples[datatype].bytes) });
    const { model_stats: stats } = await client.ask('ModelStatistics', { name: 'echo' });
    expect(stats).toMatchObject([{ name: 'echo', version: '1', inference_stats: { success: { count: expect.stringMatching(/^[1-9]/) as string } } }]);
    await expect(client.ask('RepositoryModelLoad', { model_name: '../echo' })).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  test('a deadline passes, and what was cancelled in the queue never runs', async () => {
    const model = server.models.get('spin');
    const counted = async (): Promise<number> => {
      const { model_stats: stats } = (await (await fetch(`${url}/v2/models/spin/stats`)).json()) as { model_stats: { execution_count: number }[] };
      return stats[0]!.execution_count;
    };
    await client.ask('ModelInfer', spin(1));
    // A deadline that cannot be met at the measured rate would be refused at once; after a short run this one is believed.
    expect(await codeOf(client.ask('ModelInfer', spin(10_000), { deadlineMs: 100 }))).toBe(status.DEADLINE_EXCEEDED);
    await client.ask('ModelInfer', spin(1));
    const before = await counted();
    const running = client.ask('ModelInfer', spin(25_000));
    await vi.waitFor(() => expect(model.health()).toMatchObject({ inFlight: 1 }));
    let cancel = (): void => {};
    const cancelled = codeOf(client.ask('ModelInfer', spin(1), { onCall: (call) => (cancel = () => call.cancel()) }));
    await waiting(1);
    cancel();
    expect(await cancelled).toBe(status.CANCELLED);
    expect((await running)['outputs']).toMatchObject([{ contents: { int64_contents: ['25000'] } }]);
    await client.ask('ModelInfer', spin(1));
    expect((await counted()) - before).toBe(2);
  });

  test('a stream of requests', async () => {
    const stream = client.stream('ModelStreamInfer');
    const replies: Message[] = [];
    const ended = new Promise((resolve, reject) => stream.on('data', (reply: Message) => replies.push(reply)).on('end', resolve).on('error', reject));
    for (let i = 0; i < 5; i++) stream.write(spin(i, { id: String(i), ...(i === 3 && { model_name: 'nobody' }) }));
    stream.end();
    await ended;
    expect(replies.map(({ error_message: error, infer_response: reply }) => [error === '', (reply as { id: string }).id])).toEqual([0, 1, 2, 3, 4].map((i) => [i !== 3, String(i)]));
  });

  test('shared memory and settings of the server are not opened', async () => {
    for (const method of ['SystemSharedMemoryRegister', 'SystemSharedMemoryStatus', 'CudaSharedMemoryRegister', 'TraceSetting', 'LogSettings']) await expect(client.ask(method, {}), method).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });
});

describe('HTTP by fetch alone', () => {
  const infer = (body: BodyInit, headers: Record<string, string> = {}): Promise<Response> => fetch(`${url}/v2/models/echo/infer`, { method: 'POST', body, headers });
  const binary = (json: object, ...tensors: Buffer[]): [BodyInit, Record<string, string>] => {
    const text = Buffer.from(JSON.stringify(json));
    return [new Uint8Array(Buffer.concat([text, ...tensors])), { 'Inference-Header-Content-Length': String(text.length), 'Content-Type': 'application/octet-stream' }];
  };
  const inputs = (how: (datatype: (typeof datatypes)[number]) => object): object[] => datatypes.map((datatype) => ({ ...head(datatype), ...how(datatype) }));
  const allBytes = datatypes.map((datatype) => samples[datatype].bytes);
  const sized = inputs((datatype) => ({ parameters: { binary_data_size: samples[datatype].bytes.length } }));

  test('JSON and binary tensors, in and out, whole numbers beyond 2^53 only as bytes', async () => {
    const reply = await infer(...binary({ id: '7', inputs: sized, parameters: { binary_data_output: true } }, ...allBytes));
    expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'application/octet-stream']);
    const whole = Buffer.from(await reply.arrayBuffer());
    const length = Number(reply.headers.get('inference-header-content-length'));
    const said = JSON.parse(whole.subarray(0, length).toString()) as { id: string; outputs: { name: string; shape: number[]; parameters: { binary_data_size: number } }[] };
    expect(said.id).toBe('7');
    expect(said.outputs.map(({ name, shape, parameters }) => [name, shape, parameters.binary_data_size])).toEqual(datatypes.map((datatype) => [`${datatype}_out`, [1, 2], samples[datatype].bytes.length]));
    expect(whole.subarray(length)).toEqual(Buffer.concat(allBytes));

    // As JSON where there is a form for it; nested and flat say the same.
    const spoken = datatypes.filter((datatype) => samples[datatype].json);
    const mixed = inputs((datatype) => (samples[datatype].json ? { data: datatype === 'INT8' ? [samples[datatype].json] : samples[datatype].json } : { parameters: { binary_data_size: samples[datatype].bytes.length } }));
    const silent = datatypes.filter((datatype) => !samples[datatype].json).map((datatype) => samples[datatype].bytes);
    const json = await infer(...binary({ inputs: mixed, outputs: spoken.map((datatype) => ({ name: `${datatype}_out` })) }, ...silent));
    expect(json.headers.get('content-type')).toMatch(/^application\/json/);
    const { outputs } = (await json.json()) as { outputs: { data: unknown[] }[] };
    expect(outputs.map(({ data }) => data)).toEqual(spoken.map((datatype) => samples[datatype].json));
    const beyond = await infer(...binary({ inputs: sized, outputs: [{ name: 'UINT64_out' }] }, ...allBytes));
    expect(beyond.status === 200 ? await beyond.text() : '').not.toMatch(/9007199254740992/);
  });

  test('bytes that do not add up are refused', async () => {
    const [body, headers] = binary({ inputs: sized }, ...allBytes);
    for (const [what, response] of [
      ['too few', infer((body as Uint8Array<ArrayBuffer>).slice(0, -1), headers)],
      ['too many', infer(...binary({ inputs: sized }, ...allBytes, Buffer.of(0)))],
      ['another size', infer(...binary({ inputs: inputs(() => ({ parameters: { binary_data_size: 3 } })) }, ...allBytes))],
      ['a text longer than the bytes', infer(...binary({ inputs: sized }, ...allBytes.slice(0, -1), Buffer.concat([Buffer.of(255, 255, 255, 127), samples.BYTES.bytes.subarray(4)])))],
    ] as const) {
      const { status: code } = await response;
      expect(code, what).toBe(400);
      expect((await fetch(`${url}/v2/health/ready`)).status, what).toBe(200);
    }
  });

  test('health, metadata, index, load and unload', async () => {
    for (const path of ['/v2/health/live', '/v2/health/ready', '/v2/models/echo/ready', '/v2/models/echo/versions/1/ready']) expect((await fetch(`${url}${path}`)).status, path).toBe(200);
    expect(await (await fetch(`${url}/v2/models/spin`)).json()).toEqual({ name: 'spin', versions: ['1'], platform: 'onnx_onnxv1', inputs: [{ name: 'spins', datatype: 'INT64', shape: [1] }], outputs: [{ name: 'spun', datatype: 'INT64', shape: [1] }] });
    const post = async (path: string): Promise<readonly [number, unknown]> => {
      const response = await fetch(`${url}/v2/repository/${path}`, { method: 'POST' });
      return [response.status, await response.json()];
    };
    expect(await post('models/echo/unload')).toEqual([200, {}]);
    expect(await post('index')).toEqual([200, [{ name: 'echo', version: '1', state: 'UNAVAILABLE', reason: 'it was unloaded' }, { name: 'plain', version: '1', state: 'READY', reason: '' }, { name: 'spin', version: '1', state: 'READY', reason: '' }]]);
    expect((await fetch(`${url}/v2/models/echo/ready`)).status).toBe(503);
    expect(await post('models/echo/load')).toEqual([200, {}]);
    expect((await fetch(`${url}/v2/models/echo/ready`)).status).toBe(200);
  });

  test('who leaves while the model is busy is taken out of the queue, who is one too many is told when to come back, who waits too long is told that', async () => {
    const spin = (spins: number, signal?: AbortSignal, timeout?: number): Promise<Response> => fetch(`${url}/v2/models/spin/infer`, { method: 'POST', ...(signal && { signal }), body: JSON.stringify({ inputs: [{ name: 'spins', datatype: 'INT64', shape: [1], data: [spins] }], ...(timeout !== undefined && { parameters: { timeout } }) }) });
    const model = server.models.get('spin');
    const running = spin(25_000);
    await vi.waitFor(() => expect(model.health()).toMatchObject({ inFlight: 1 }));
    const leaving = new AbortController();
    const left = spin(1, leaving.signal).catch(() => 'left');
    const stay = [spin(1), spin(1), spin(1)];
    await waiting(4);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/penjing_active_requests\{model="spin",version="1"\} 1$/m);
    expect(await (await fetch(`${url}/admin/models`)).json()).toMatchObject({ models: expect.arrayContaining([expect.objectContaining({ name: 'spin', active: 1, waiting: 4 })]) as object[] });
    const refused = await spin(1);
    expect([refused.status, Number(refused.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    leaving.abort();
    await waiting(3);
    // At once where the measured rate tells that it cannot be in time, else when the time is over.
    expect([429, 504]).toContain((await spin(1, undefined, 50_000)).status);
    expect(await left).toBe('left');
    expect((await Promise.all([running, ...stay])).map(({ status: code }) => code)).toEqual([200, 200, 200, 200]);
  });
});
