/** The gRPC listener, asked by @grpc/grpc-js as a client. */
import { Client, credentials, type Metadata, Metadata as MetadataOf, type ServiceError, status } from '@grpc/grpc-js';
import { DenseTensor } from '@penjing/core';
import {
  decodeGrpcInferResponse, decodeGrpcStreamResponse, encodeGrpcInferRequest, GRPC_INFER_PATH, GRPC_STREAM_INFER_PATH, type GrpcMethod, grpcMethods, type InferRequest, refusedGrpcMethods,
} from '@penjing/graph-io/v2';
import { afterEach, describe, expect, test } from 'vitest';
import { hashOfKey } from '../../config/read-config.js';
import type { ServerOptions } from '../../config/schema.js';
import { type Doubling, doubling } from '../testing/doubling.js';
import { HEALTH_PATH } from './health.js';

interface Bench extends Doubling {
  readonly client: Client;
}

const open: Bench[] = [];
afterEach(async () => {
  for (const { client, server } of open.splice(0)) {
    client.close();
    await server.close();
  }
});

async function start(options: ServerOptions = {}): Promise<Bench> {
  const made = await doubling({ grpc: { port: 0 }, drainMs: 1000, ...options });
  const { grpc } = await made.server.listen();
  const bench = { ...made, client: new Client(`127.0.0.1:${grpc!.port}`, credentials.createInsecure()) };
  open.push(bench);
  return bench;
}

const same = (value: Buffer): Buffer => value;
function unary({ client }: Bench, path: string, bytes: Uint8Array, { metadata = new MetadataOf(), deadlineMs, onCall }: { metadata?: Metadata; deadlineMs?: number; onCall?: (call: { cancel(): void }) => void } = {}): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(path, same, same, Buffer.from(bytes), metadata, deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }, (error, value) => (error ? reject(error) : resolve(value!)));
    onCall?.(call);
  });
}

const call = async <Q, R>(bench: Bench, { path, request, response }: GrpcMethod<Q, R>, message: Q, metadata?: Metadata): Promise<R> => response.decode(await unary(bench, path, request.encode(message), { ...(metadata && { metadata }) }));
const rows = (...values: number[]): InferRequest => ({ modelName: 'double', id: String(values[0]), inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [values.length / 2, 2], Float32Array.from(values)) }] });
const infer = async (bench: Bench, request: InferRequest, options: Parameters<typeof unary>[3] & { raw?: boolean } = {}): Promise<number[]> => {
  const { outputs } = decodeGrpcInferResponse(await unary(bench, GRPC_INFER_PATH, encodeGrpcInferRequest(request, { raw: options.raw ?? true }), options));
  return [...(outputs[0]!.tensor as DenseTensor).data].map(Number);
};
const codeOf = (promise: Promise<unknown>): Promise<number> => promise.then(() => status.OK, (error: ServiceError) => error.code);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('says what there is', async () => {
  const bench = await start();
  expect(await call(bench, grpcMethods.serverLive, {})).toEqual({ live: true });
  expect(await call(bench, grpcMethods.serverReady, {})).toEqual({ ready: true });
  expect(await call(bench, grpcMethods.serverMetadata, {})).toMatchObject({ name: 'penjing' });
  expect(await call(bench, grpcMethods.modelReady, { name: 'double' })).toEqual({ ready: true });
  expect(await call(bench, grpcMethods.modelMetadata, { name: 'double', version: '1' })).toMatchObject({ platform: 'onnx_onnxv1', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }] });
  expect(await call(bench, grpcMethods.modelConfig, { name: 'double' })).toMatchObject({ config: { maxBatchSize: 32, input: [{ dataType: 11, dims: [2] }] } });
  expect(await call(bench, grpcMethods.repositoryIndex, { ready: true })).toMatchObject({ models: expect.arrayContaining([expect.objectContaining({ name: 'double', state: 'READY' })]) as object[] });
  expect(await unary(bench, HEALTH_PATH, new Uint8Array())).toEqual(Buffer.of(8, 1));
  expect(await codeOf(call(bench, grpcMethods.modelMetadata, { name: 'none' }))).toBe(status.NOT_FOUND);
});

test('infers with raw and typed contents, loads, unloads and counts', async () => {
  const bench = await start();
  expect(await infer(bench, rows(1, 2))).toEqual([2, 4]);
  expect(await infer(bench, rows(1, 2), { raw: false })).toEqual([2, 4]);
  expect(await call(bench, grpcMethods.modelStatistics, { name: 'double' })).toMatchObject({ modelStats: [{ name: 'double', inferenceCount: 2, executionCount: 2, inferenceStats: { success: { count: 2 } } }] });
  await call(bench, grpcMethods.repositoryModelUnload, { modelName: 'double' });
  expect(await codeOf(infer(bench, rows(1, 2)))).toBe(status.UNAVAILABLE);
  await call(bench, grpcMethods.repositoryModelLoad, { modelName: 'double' });
  expect(await infer(bench, rows(1, 2))).toEqual([2, 4]);
  const file = { modelName: 'double', parameters: [{ key: 'file:1/model.onnx', value: { bytes: Uint8Array.of(1) } }] };
  expect(await codeOf(call(bench, grpcMethods.repositoryModelLoad, file))).toBe(status.UNIMPLEMENTED);
});

test('messages larger than the 4 MB of the library pass, larger than the limit do not', async () => {
  const bench = await start({ limits: { bodyBytes: 8 * 2 ** 20 } });
  const large = (count: number): InferRequest => ({ ...rows(1, 2), inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [count / 2, 2], new Float32Array(count).fill(1)) }] });
  const roomy = { ...bench, client: new Client(bench.client.getChannel().getTarget().replace(/^dns:/, ''), credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 }) };
  bench.client.close();
  expect((await infer(roomy, large(1.5 * 2 ** 20))).every((value) => value === 2)).toBe(true);
  expect(await codeOf(infer(roomy, large(2.5 * 2 ** 20)))).toBe(status.RESOURCE_EXHAUSTED);
  expect(await call(roomy, grpcMethods.serverReady, {})).toEqual({ ready: true });
  roomy.client.close();
});

describe('giving up', () => {
  test('the client\'s deadline and its leave reach the queue', async () => {
    const bench = await start({ models: [{ name: 'double', path: '/double', batching: { lanes: 1 } }] });
    const release = bench.hold();
    const first = infer(bench, rows(1, 1));
    await pause(50);
    expect(await codeOf(infer(bench, rows(2, 2), { deadlineMs: 50 }))).toBe(status.DEADLINE_EXCEEDED);
    const left = codeOf(infer(bench, rows(3, 3), { onCall: (one) => setTimeout(() => one.cancel(), 30) }));
    expect(await left).toBe(status.CANCELLED);
    await pause(50);
    release();
    expect(await first).toEqual([2, 2]);
    expect(await infer(bench, rows(4, 4))).toEqual([8, 8]);
    expect(bench.runs).toEqual([1, 1]); // what was given up never ran
  });

  test('a run that nobody waits for any more is told to stop', async () => {
    const bench = await start();
    bench.hold();
    const left = codeOf(infer(bench, rows(3, 3), { onCall: (one) => setTimeout(() => one.cancel(), 30) }));
    expect(await left).toBe(status.CANCELLED);
    await expect.poll(() => bench.hosts.made[0]!.health().inFlight).toBe(0);
  });
});

test('a stream answers in order, and goes on after an error', async () => {
  const bench = await start();
  const release = bench.hold();
  void expect.poll(() => bench.runs.length).toBe(2).then(() => setTimeout(release, 1000)); // the first two fill the lanes; the others are there by then, on a busy machine too
  const answers = await new Promise<ReturnType<typeof decodeGrpcStreamResponse>[]>((resolve, reject) => {
    const got: ReturnType<typeof decodeGrpcStreamResponse>[] = [];
    const stream = bench.client.makeBidiStreamRequest(GRPC_STREAM_INFER_PATH, same, same, new MetadataOf());
    stream.on('data', (bytes: Buffer) => void got.push(decodeGrpcStreamResponse(bytes)));
    stream.on('error', reject);
    stream.on('end', () => resolve(got));
    for (let i = 0; i < 200; i++) stream.write(Buffer.from(encodeGrpcInferRequest(i === 5 ? { ...rows(i, i), modelName: 'none' } : rows(i, i))));
    stream.write(Buffer.from([0x2a, 0x05]));
    stream.end();
  });
  expect(answers).toHaveLength(201);
  answers.slice(0, 200).forEach(({ response, error }, i) => {
    expect(response!.id).toBe(String(i));
    if (i === 5) expect(error).toMatch(/no model none/);
    else expect([...(response!.outputs[0]!.tensor as DenseTensor).data]).toEqual([2 * i, 2 * i]);
  });
  expect(answers[200]!.error).toMatch(/at byte 0/);
  expect(bench.runs.length).toBeLessThan(100);
  expect(Math.max(...bench.runs)).toBe(32);
});

test('keys are asked for by every method but the probes', async () => {
  const bench = await start({ keys: [{ name: 'user', sha256: hashOfKey('k-user') }, { name: 'root', sha256: hashOfKey('k-root'), scopes: ['infer', 'admin'] }] });
  const by = (key: string): Metadata => {
    const metadata = new MetadataOf();
    metadata.set('authorization', `Bearer ${key}`);
    return metadata;
  };
  expect(await call(bench, grpcMethods.serverReady, {})).toEqual({ ready: true });
  const { serverLive, serverReady, ...others } = grpcMethods;
  expect([serverLive.path, serverReady.path]).toHaveLength(2);
  for (const { path } of [...Object.values(others), { path: GRPC_INFER_PATH }]) {
    expect(await codeOf(unary(bench, path, new Uint8Array())), path).toBe(status.UNAUTHENTICATED);
    expect(await codeOf(unary(bench, path, new Uint8Array(), { metadata: by('wrong') })), path).toBe(status.UNAUTHENTICATED);
  }
  expect(await codeOf(call(bench, grpcMethods.repositoryModelUnload, { modelName: 'double' }, by('k-user')))).toBe(status.PERMISSION_DENIED);
  expect(await infer(bench, rows(1, 2), { metadata: by('k-user') })).toEqual([2, 4]);
  expect(await codeOf(call(bench, grpcMethods.repositoryModelUnload, { modelName: 'double' }, by('k-root')))).toBe(status.OK);
  const stream = new Promise<number>((resolve) => {
    const one = bench.client.makeBidiStreamRequest(GRPC_STREAM_INFER_PATH, same, same, new MetadataOf());
    one.on('error', (error: ServiceError) => resolve(error.code));
    one.on('data', () => {});
  });
  expect(await stream).toBe(status.UNAUTHENTICATED);
});

test('hostile messages are refused by their code, and the server stays ready', async () => {
  const bench = await start();
  const cases: (readonly [what: string, path: string, bytes: Uint8Array, code: number])[] = [
    ['a truncated field', GRPC_INFER_PATH, Uint8Array.of(0x2a, 0x05, 0x01), status.INVALID_ARGUMENT],
    ['groups in groups', GRPC_INFER_PATH, new Uint8Array(2 ** 16).fill(0x7b), status.INVALID_ARGUMENT],
    ['unknown fields without end', GRPC_INFER_PATH, new Uint8Array(2 ** 20).map((_, i) => (i % 2 === 0 ? 0x78 : 1)), status.RESOURCE_EXHAUSTED],
    ['no model', GRPC_INFER_PATH, encodeGrpcInferRequest({ inputs: [] }), status.NOT_FOUND],
    ['a model name with a path', GRPC_INFER_PATH, encodeGrpcInferRequest({ ...rows(1, 2), modelName: '../../etc' }), status.NOT_FOUND],
    ['another datatype', GRPC_INFER_PATH, encodeGrpcInferRequest({ modelName: 'double', inputs: [{ name: 'x', tensor: DenseTensor.of('int32', [1, 2], Int32Array.of(1, 2)) }] }), status.INVALID_ARGUMENT],
    ['shared memory', GRPC_INFER_PATH, encodeGrpcInferRequest({ ...rows(1, 2), outputs: [{ name: 'y', parameters: { shared_memory_region: 'r' } }] }), status.UNIMPLEMENTED],
    ['a name that is no text', grpcMethods.modelReady.path, Uint8Array.of(0x0a, 0xff), status.INVALID_ARGUMENT],
    ...refusedGrpcMethods.map((path) => ['a refused method', path, new Uint8Array(), status.UNIMPLEMENTED] as const),
    ['an unknown method', '/inference.GRPCInferenceService/Nothing', new Uint8Array(), status.UNIMPLEMENTED],
  ];
  for (const [what, path, bytes, code] of cases) {
    expect([what, await codeOf(unary(bench, path, bytes))]).toEqual([what, code]);
    expect(await call(bench, grpcMethods.serverReady, {}), what).toEqual({ ready: true });
  }
  expect(bench.runs).toEqual([]);
});

test('closing lets what is in flight end', async () => {
  const bench = await start({ drainMs: 5000 });
  const release = bench.hold();
  const asked = infer(bench, rows(1, 2));
  await pause(50);
  const closed = bench.server.close();
  setTimeout(release, 50);
  expect(await asked).toEqual([2, 4]);
  await closed;
});
