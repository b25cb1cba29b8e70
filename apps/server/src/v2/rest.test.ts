/** The V2 protocol over HTTP: what clients see, and every hostile case of it; after each the server is ready. */
import { DenseTensor } from '@penjing/core';
import { decodeInferResponse, encodeInferRequest, type InferRequest } from '@penjing/graph-io/v2';
import { afterEach, describe, expect, test } from 'vitest';
import { hashOfKey } from '../config/read-config.js';
import type { ServerOptions } from '../config/schema.js';
import { type Doubling, doubling } from './testing/doubling.js';

const started: Doubling[] = [];
afterEach(async () => void (await Promise.all(started.splice(0).map(({ server }) => server.close()))));

async function start(options: ServerOptions = {}): Promise<Doubling> {
  const made = await doubling(options);
  started.push(made);
  return made;
}

const ask = ({ server }: Doubling, path: string, init: RequestInit = {}): Promise<Response> => server.fetch(new Request(`http://localhost${path}`, init));
const post = (made: Doubling, path: string, body: string | Uint8Array<ArrayBuffer> | object, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> =>
  ask(made, path, { method: 'POST', body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), headers, ...(signal && { signal }) });

const rows = (...values: number[]): InferRequest => ({ inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [values.length / 2, 2], Float32Array.from(values)) }] });
const jsonOf = (...values: number[]): object => ({ id: 'a', inputs: [{ name: 'x', shape: [values.length / 2, 2], datatype: 'FP32', data: values }] });

/** Sends a request as binary data and reads the values of y. */
async function double(made: Doubling, request: InferRequest, path = '/v2/models/double/infer'): Promise<{ response: Response; values: number[] }> {
  const { parts, headerLength } = encodeInferRequest({ ...request, parameters: { ...request.parameters, binary_data_output: true } });
  const response = await post(made, path, new Uint8Array(Buffer.concat(parts)), { 'Inference-Header-Content-Length': String(headerLength) });
  if (response.status !== 200) return { response, values: [] };
  const { outputs } = decodeInferResponse(new Uint8Array(await response.arrayBuffer()), Number(response.headers.get('inference-header-content-length')));
  return { response, values: [...(outputs[0]!.tensor as DenseTensor).data].map(Number) };
}

describe('inference', () => {
  test('as JSON, with the id and how long it took', async () => {
    const made = await start();
    const response = await post(made, '/v2/models/double/versions/1/infer', jsonOf(1, 2, 3, 4));
    expect(await response.json()).toEqual({ model_name: 'double', model_version: '1', id: 'a', outputs: [{ name: 'y', shape: [2, 2], datatype: 'FP32', data: [2, 4, 6, 8] }] });
    expect(response.headers.get('server-timing')).toMatch(/^queue;dur=[\d.]+, compute;dur=0.250, batch;desc="2 rows of 1 requests"$/);
  });

  test('as binary data, in and out, and with nothing but the bytes', async () => {
    const made = await start();
    const { response, values } = await double(made, rows(1, 2));
    expect([response.headers.get('content-type'), values]).toEqual(['application/octet-stream', [2, 4]]);
    const raw = await post(made, '/v2/models/double/infer', new Uint8Array(Float32Array.of(5, 6).buffer), { 'Inference-Header-Content-Length': '0' });
    const read = decodeInferResponse(new Uint8Array(await raw.arrayBuffer()), Number(raw.headers.get('inference-header-content-length')));
    expect([...(read.outputs[0]!.tensor as DenseTensor).data]).toEqual([10, 12]);
  });

  test('of texts and half floats', async () => {
    const made = await start();
    const texts = await post(made, '/v2/models/texts/infer', { inputs: [{ name: 'x', shape: [2], datatype: 'BYTES', data: ['a', '盆景'] }] });
    expect(await texts.json()).toMatchObject({ outputs: [{ datatype: 'BYTES', data: ['a', '盆景'] }] });
    const half: InferRequest = { inputs: [{ name: 'x', tensor: new DenseTensor('float16', [1, 2], Uint8Array.of(0, 60, 0, 64)) }] };
    expect((await double(made, half, '/v2/models/halves/infer')).values).toEqual([0x3c00, 0x4000]);
    const { parts, headerLength } = encodeInferRequest(half);
    const asJson = await post(made, '/v2/models/halves/infer', new Uint8Array(Buffer.concat(parts)), { 'Inference-Header-Content-Length': String(headerLength) });
    expect([asJson.status, await asJson.json()]).toEqual([400, { error: expect.stringMatching(/FP16 has no JSON form/) as string }]);
  });

  test('requests that come while the model is busy run together, each with its own rows; a bad one fails alone', async () => {
    const made = await start({ models: [{ name: 'double', path: '/double', batching: { lanes: 1 } }] });
    const release = made.hold();
    const asked = [rows(1, 2), rows(3, 4), rows(5, 6, 7, 8), rows(666, 0)].map((request) => double(made, request));
    await new Promise((resolve) => setTimeout(resolve, 50));
    release();
    const answers = await Promise.all(asked);
    expect(answers.map(({ values }) => values)).toEqual([[2, 4], [6, 8], [10, 12, 14, 16], []]);
    expect(answers[3]!.response.status).toBe(400);
    expect(made.runs).toEqual([1, 4, 1, 2, 1]); // first alone; the rest together, then one by one because of the bad one
    const stats = (await (await ask(made, '/v2/models/double/stats')).json()) as { model_stats: object[] };
    expect(stats.model_stats).toMatchObject([{ name: 'double', version: '1', inference_count: 4, execution_count: 3, inference_stats: { success: { count: 3 }, fail: { count: 1 }, compute_infer: { count: 3, ns: 750_000 } }, batch_stats: [{ batch_size: 1, compute_infer: { count: 2 } }, { batch_size: 2 }] }]);
    expect(await (await ask(made, '/metrics')).text()).toMatch(/penjing_batch_rows_count\{model="double"\} 3/);
  });

  test('a deadline, a client that leaves, and a full queue', async () => {
    const made = await start({ models: [{ name: 'double', path: '/double', maxQueue: 2, batching: { lanes: 1 } }] });
    const release = made.hold();
    const first = double(made, rows(1, 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const late = await double(made, { ...rows(2, 2), parameters: { timeout: 20_000 } });
    expect(late.response.status).toBe(504);
    const controller = new AbortController();
    const left = post(made, '/v2/models/double/infer', jsonOf(3, 3), {}, controller.signal);
    const waiting = double(made, rows(4, 4));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const refused = await double(made, rows(5, 5));
    expect([refused.response.status, Number(refused.response.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    expect((await ask(made, '/v2/health/ready')).status).toBe(200);
    controller.abort();
    expect((await left).status).toBe(499);
    expect(await (await ask(made, '/metrics')).text()).toMatch(/penjing_waiting_requests\{model="double",version="1"\} 1/);
    release();
    expect([(await first).values, (await waiting).values]).toEqual([[2, 2], [8, 8]]);
    expect(made.runs).toEqual([1, 1]); // what was given up never ran
  });

  test('a process that dies in mid-run fails what is in it, and the next request says so', async () => {
    const made = await start();
    made.hold();
    const asked = double(made, rows(1, 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    made.hosts.made[0]!.die();
    expect((await asked).response.status).toBe(503);
    const next = await double(made, rows(1, 1));
    expect([next.response.status, next.response.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await ask(made, '/v2/models/double/ready')).status).toBe(503);
  });
});

describe('metadata and repository', () => {
  test('say what there is', async () => {
    const made = await start();
    const json = async (path: string): Promise<unknown> => (await ask(made, path)).json();
    expect(await json('/v2')).toMatchObject({ name: 'penjing', extensions: expect.arrayContaining(['binary_tensor_data', 'statistics']) as string[] });
    expect(await json('/v2/models/double')).toEqual({ name: 'double', versions: ['1'], platform: 'onnx_onnxv1', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }], outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }] });
    expect(await json('/v2/models/double/versions/1/config')).toMatchObject({ name: 'double', max_batch_size: 32, input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [2] }], dynamic_batching: { max_queue_delay_microseconds: 0 } });
    expect(await json('/v2/models/texts/config')).toMatchObject({ max_batch_size: 0, input: [{ data_type: 'TYPE_STRING', dims: [-1] }] });
    expect((await ask(made, '/v2/models/double/versions/1/ready')).status).toBe(200);
    expect(await json('/v2/models/stats')).toMatchObject({ model_stats: expect.arrayContaining([expect.objectContaining({ name: 'texts' })]) as object[] });
    for (const path of ['/v2/models/nothing', '/v2/models/nothing/stats', '/v2/models/double/versions/2', '/v2/models/double/versions/2/ready']) expect((await ask(made, path)).status, path).toBe(404);
  });

  test('load and unload, by name alone', async () => {
    const made = await start();
    const index = async (body: object | string = ''): Promise<unknown> => (await post(made, '/v2/repository/index', body)).json();
    expect((await post(made, '/v2/repository/models/double/unload', '')).status).toBe(200);
    expect(await index()).toContainEqual({ name: 'double', version: '1', state: 'UNAVAILABLE', reason: 'it was unloaded' });
    expect(await index({ ready: true })).not.toContainEqual(expect.objectContaining({ name: 'double' }));
    expect((await double(made, rows(1, 1))).response.status).toBe(503);
    expect((await post(made, '/v2/repository/models/double/load', { parameters: {} })).status).toBe(200);
    expect((await double(made, rows(1, 1))).values).toEqual([2, 2]);
    for (const parameters of [{ 'file:1/model.onnx': 'AAAA' }, { [`file:1/${'a'.repeat(256)}`]: 'AAAA' }, { 'file:../../etc/x': 'AAAA' }, { config: '{}' }]) {
      const refused = await post(made, '/v2/repository/models/double/load', { parameters });
      expect([refused.status, ((await refused.json()) as { error: string }).error]).toEqual([400, expect.stringMatching(/^the request brings a (file|configuration)/) as string]);
    }
  });

  test('loading needs the key of an administrator', async () => {
    const made = await start({ keys: [{ name: 'user', sha256: hashOfKey('k-user') }, { name: 'root', sha256: hashOfKey('k-root'), scopes: ['infer', 'admin'] }] });
    const by = (key: string, path: string): Promise<Response> => post(made, path, '', { authorization: `Bearer ${key}` });
    expect((await by('k-user', '/v2/repository/models/double/unload')).status).toBe(403);
    expect((await by('k-user', '/v2/repository/index')).status).toBe(200);
    expect((await by('k-root', '/v2/repository/models/double/unload')).status).toBe(200);
    for (const path of ['/v2', '/v2/models/double', '/v2/models/double/infer', '/v2/models/stats', '/v2/repository/index']) for (const method of ['GET', 'POST', 'PUT', 'HEAD']) expect((await ask(made, path, { method })).status, `${method} ${path}`).toBe(401);
  });
});

describe('hostile requests', () => {
  const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const x = (fields: object): object => ({ inputs: [{ name: 'x', datatype: 'FP32', ...fields }] });
  const infer = '/v2/models/double/infer';
  const cases: { what: string; path?: string; body: string | object; headers?: Record<string, string>; status: number }[] = [
    { what: 'a shape whose count overflows', body: x({ shape: [2 ** 30, 2 ** 30], data: [] }), status: 400 },
    { what: 'the shape [2^4, 2^60+2]', body: '{"inputs":[{"name":"x","datatype":"FP32","shape":[16,1152921504606846978],"data":[]}]}', status: 400 },
    { what: 'the shape [2^2, 2^60+2]', body: '{"inputs":[{"name":"x","datatype":"FP32","shape":[4,1152921504606846978],"data":[]}]}', status: 400 },
    { what: 'a shape whose bytes overflow', body: x({ shape: [2 ** 52], parameters: { binary_data_size: 8 } }), status: 400 },
    { what: 'a negative dimension', body: x({ shape: [-1, 2], data: [1, 2] }), status: 400 },
    { what: 'JSON nested 250,000 deep', body: `{"inputs":${deep(250_000)}}`, status: 413 },
    { what: 'data nested 250,000 deep', body: `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":${deep(250_000)}}]}`, status: 413 },
    { what: 'an index request nested 250,000 deep', path: '/v2/repository/index', body: `{"ready":${deep(250_000)}}`, status: 400 },
    { what: 'a load request nested 250,000 deep', path: '/v2/repository/models/double/load', body: `{"parameters":${deep(250_000)}}`, status: 400 },
    { what: 'a header length of 99999999999', body: jsonOf(1, 2), headers: { 'Inference-Header-Content-Length': '99999999999' }, status: 400 },
    { what: 'a header length that is no number', body: jsonOf(1, 2), headers: { 'Inference-Header-Content-Length': '-1' }, status: 400 },
    { what: 'a header length in the middle', body: jsonOf(1, 2), headers: { 'Inference-Header-Content-Length': '7' }, status: 400 },
    { what: 'a body that is compressed', body: jsonOf(1, 2), headers: { 'Content-Encoding': 'gzip' }, status: 415 },
    { what: 'a body beyond the limit', body: ' '.repeat(2000), status: 413 },
    { what: 'NaN', body: '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[NaN,1]}]}', status: 400 },
    { what: '1e400', body: '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1e400,1]}]}', status: 400 },
    { what: 'an input that the model has not', body: { inputs: [{ name: 'z', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] }, status: 400 },
    { what: 'a missing input', body: { inputs: [] }, status: 400 },
    { what: 'another datatype', body: { inputs: [{ name: 'x', datatype: 'INT32', shape: [1, 2], data: [1, 2] }] }, status: 400 },
    { what: 'another rank', body: x({ shape: [2], data: [1, 2] }), status: 400 },
    { what: 'another size', body: x({ shape: [1, 3], data: [1, 2, 3] }), status: 400 },
    { what: 'an output that the model has not', body: { ...jsonOf(1, 2), outputs: [{ name: 'toString' }] }, status: 400 },
    { what: 'an output twice', body: { ...jsonOf(1, 2), outputs: [{ name: 'y' }, { name: 'y' }] }, status: 400 },
    { what: 'shared memory as input', body: x({ shape: [1, 2], parameters: { shared_memory_region: '/dev/shm/x', shared_memory_byte_size: 8 } }), status: 400 },
    { what: 'shared memory as output', body: { ...jsonOf(1, 2), outputs: [{ name: 'y', parameters: { shared_memory_region: 'x' } }] }, status: 400 },
    { what: 'a priority outside of its range', body: { ...jsonOf(1, 2), parameters: { priority: 99 } }, status: 400 },
    { what: 'a timeout of another type', body: { ...jsonOf(1, 2), parameters: { timeout: 'soon' } }, status: 400 },
    { what: 'a sequence', body: { ...jsonOf(1, 2), parameters: { sequence_id: 5, sequence_start: true } }, status: 400 },
    { what: 'a model for texts', path: '/v2/models/writer/infer', body: jsonOf(1, 2), status: 400 },
    { what: 'a blank model name', path: '/v2/models/%20/infer', body: jsonOf(1, 2), status: 404 },
    { what: 'a model name in unicode', path: '/v2/models/%E7%9B%86/infer', body: jsonOf(1, 2), status: 404 },
    { what: 'a model name with a path', path: '/v2/models/..%2f..%2fetc/infer', body: jsonOf(1, 2), status: 404 },
    { what: 'a model name with a path to be loaded', path: '/v2/repository/models/..%2f..%2fetc%2fpasswd/load', body: '', status: 404 },
    { what: 'a long model name', path: `/v2/repository/models/${'a'.repeat(5000)}/load`, body: '', status: 404 },
    { what: '__proto__ as a model', path: '/v2/models/__proto__/infer', body: jsonOf(1, 2), status: 404 },
    { what: '__proto__ as an input', body: '{"inputs":[{"name":"__proto__","datatype":"FP32","shape":[1,2],"data":[1,2]}]}', status: 400 },
    { what: 'no JSON', body: 'hello', status: 400 },
    { what: 'nothing', body: '', status: 400 },
  ];

  test('JSON before binary data is held to the limit of JSON, and binary data to that of bodies', async () => {
    const made = await start({ limits: { bodyBytes: 2 ** 16, jsonBytes: 2048 } });
    expect((await double(made, rows(...Array<number>(2000).fill(1)))).response.status).toBe(200);
    const { parts, headerLength } = encodeInferRequest(rows(1, 2));
    const spaces = Buffer.alloc(2048, 0x20);
    const long = await post(made, infer, new Uint8Array(Buffer.concat([spaces, ...parts])), { 'Inference-Header-Content-Length': String(spaces.length + headerLength!) });
    expect([long.status, await long.json()]).toEqual([413, { error: expect.stringContaining('2048 bytes') as string }]);
  });

  test('each is refused with its status and a reason, and the server stays ready', async () => {
    const made = await start({ limits: { bodyBytes: 2 ** 20, jsonBytes: 2 ** 20 } });
    for (const { what, path = infer, body, headers, status } of cases) {
      const response = await post(made, path, what.endsWith('beyond the limit') ? ' '.repeat(2 ** 20 + 1) : body, headers);
      expect([what, response.status]).toEqual([what, status]);
      const { error } = (await response.json()) as { error: string };
      expect(error.length, what).toBeGreaterThan(5);
      expect(error, what).not.toMatch(/node_modules|\.ts:|\/dev\/shm/);
      expect((await ask(made, '/v2/health/ready')).status, what).toBe(200);
    }
    expect((await double(made, rows(1, 2))).values).toEqual([2, 4]);
    expect(made.runs).toEqual([1]); // nothing of it reached a model
  });
});
