/** Hostile clients on the sockets of `penjing serve`: what Node's parser, our limits and gRPC make of it. After each the server is ready; after all its memory and its open files are back. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DenseTensor } from '@penjing/core';
import { encodeGrpcInferRequest, GRPC_INFER_PATH } from '@penjing/graph-io/v2';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { writeModelFolder } from '../packages/runtime/src/testing/model-folder.js';
import { tinyDecoder } from '../packages/runtime/src/testing/tiny-decoder.js';
import { endServed, residentBytes, serve, type Served } from './support/served.js';
import { doublingModel, writeModel } from './support/served-models.js';

let folder: string;
let text: string;
let server: Served;
let port: number;
let before: { readonly bytes: number; readonly files: number };

const files = async (): Promise<number> => (await readdir(`/proc/${server.process.pid}/fd`)).length;
const ready = async (): Promise<number> => (await fetch(`${server.url}/v2/health/ready`)).status;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-hostile-'));
  text = await writeModelFolder({ '': tinyDecoder({ context: 512 }) }, {}, { context: 512 });
  const double = await writeModel(join(folder, 'double.onnx'), doublingModel());
  await writeFile(join(folder, 'config.json'), JSON.stringify({ limits: { headersMs: 1500, requestMs: 4000, connections: 300, bodyBytes: 16 * 2 ** 20 } }));
  server = await serve([`text=${text}`, `double=${double}`, '--config', join(folder, 'config.json'), '--grpc-port', '0', '--threads', '1', '--log-level', 'fatal']);
  port = Number(new URL(server.url).port);
  for (let i = 0; i < 20; i++) await ready();
  before = { bytes: await residentBytes(server.process.pid!), files: await files() };
}, 120_000);
afterEach(async () => expect(await ready()).toBe(200));
afterAll(async () => {
  try {
    await vi.waitFor(async () => expect(await files()).toBeLessThan(before.files + 16), { timeout: 30_000, interval: 250 });
    // Collectors are in no hurry on a busy machine (after a minute or more the same server was 70 MiB smaller); a flood that was kept would be some hundred megabytes.
    await vi.waitFor(async () => {
      await ready();
      expect((await residentBytes(server.process.pid!)) - before.bytes).toBeLessThan(128 * 2 ** 20);
    }, { timeout: 120_000, interval: 1000 });
  } finally {
    await endServed(server);
    await Promise.all([folder, text].map((path) => rm(path, { recursive: true })));
  }
}, 180_000);

/** Everything that the server says until it closes. Fails where it does not close within `ms`: a server that hangs has not answered. */
function raw(bytes: string | Uint8Array, { ms = 8000, write = (socket: Socket) => void socket.write(bytes) }: { readonly ms?: number; readonly write?: (socket: Socket) => void } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => write(socket));
    const timer = setTimeout(() => {
      reject(new Error(`the server has not closed after ${ms} ms; it said ${JSON.stringify(answer.slice(0, 200))}`));
      socket.destroy();
    }, ms);
    socket.on('data', (data) => (answer += data.toString('latin1'))).on('error', () => {}).on('close', () => (clearTimeout(timer), resolve(answer)));
  });
}
const statusesOf = (answer: string): number[] => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code));
/** For clients that are still writing when they are cut off: then the reset may overtake the answer. That they are cut off says `raw`. */
const expectRefused = (answer: string, ...codes: readonly number[]): void => expect([...codes, undefined]).toContain(statusesOf(answer)[0]);
const INFER = 'POST /v2/models/double/infer HTTP/1.1\r\nHost: localhost\r\n';
const body = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}';

describe('requests that two parsers could read in two ways', () => {
  const hidden = 'GET /admin/models HTTP/1.1\r\nHost: localhost\r\n\r\n';
  test.each<readonly [what: string, request: string]>([
    ['length and chunks', `${INFER}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['two lengths', `${INFER}Content-Length: 5\r\nContent-Length: 70\r\n\r\n${body}`],
    ['two lengths in one', `${INFER}Content-Length: 5, 70\r\n\r\n${body}`],
    ['a negative length', `${INFER}Content-Length: -1\r\n\r\n${body}`],
    ['a length with a sign', `${INFER}Content-Length: +70\r\n\r\n${body}`],
    ['a length beyond 2^64', `${INFER}Content-Length: 18446744073709551686\r\n\r\n${body}`],
    ['a length in hexadecimal', `${INFER}Content-Length: 0x46\r\n\r\n${body}`],
    ['an unknown coding', `${INFER}Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${hidden}`],
    ['chunked that is not the last coding', `${INFER}Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n${hidden}`],
    ['a chunk size that overflows', `${INFER}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n`],
    ['a chunk size with a sign', `${INFER}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n`],
    ['a space before the colon', `${INFER}Content-Length : 5\r\n\r\nhello${hidden}`],
    ['a folded header', `${INFER}X-A: b\r\n Content-Length: 5\r\n\r\n${hidden}`],
    ['a zero byte in a header', `${INFER}X-A: b\0c\r\n\r\n`],
    ['a zero byte in the path', 'GET /healthz\0/admin HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n'],
    ['an unknown version', 'GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    ['an unknown method', 'HACK /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('%s: 400 and an end', async (_what, request) => {
    const answer = await raw(Buffer.from(request, 'latin1'));
    expect(statusesOf(answer)).toEqual([400]);
    expect(answer).not.toMatch(/"models"|"outputs"/);
  });

  test('two hosts, another host in the target, a proxy that is asked to connect, and an upgrade', async () => {
    for (const request of ['GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n', 'GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n', 'GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 'GET //evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n', 'GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\nConnection: close\r\n\r\n', 'GET /v1/models HTTP/1.1\r\nHost: localhost@evil.example\r\nConnection: close\r\n\r\n']) {
      const answer = await raw(request);
      expect([400, 403, 404], request).toContain(statusesOf(answer)[0]);
      expect(answer, request).not.toContain('"object":"list"');
    }
    expect(await raw('CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n')).not.toMatch(/^HTTP\/1\.1 2/);
    expect(statusesOf(await raw('GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n'))).toEqual([200]);
  });

  test('headers that are there twice do not let anybody in', async () => {
    const twice = await raw(`POST /v2/models/double/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: 70\r\nInference-Header-Content-Length: 3\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    expect(statusesOf(twice)).toEqual([400]);
    const pipelined = await raw('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50) + 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    expect(statusesOf(pipelined)).toEqual(Array.from({ length: 51 }, () => 200));
  });
});

describe('floods', () => {
  test('a header of a megabyte, and thousands of small ones', async () => {
    expectRefused(await raw(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(2 ** 20)}\r\n\r\n`), 431);
    expect(statusesOf(await raw(`GET /${'a'.repeat(2 ** 17)} HTTP/1.1\r\nHost: localhost\r\n\r\n`))).toEqual([431]);
    expect([400, 431]).toContain(statusesOf(await raw(`GET /healthz HTTP/1.1\r\nHost: localhost\r\n${'a:b\r\n'.repeat(20_000)}\r\n`))[0]);
  });

  test('headers beyond the count do not hide the length of a body', async () => {
    const answer = await raw(`${INFER}${Array.from({ length: 300 }, (_, i) => `x${i}: 1\r\n`).join('')}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    expect(statusesOf(answer)).toHaveLength(1);
    expect([200, 400, 431]).toContain(statusesOf(answer)[0]);
  });

  test('three megabytes of chunks of one byte, and chunks with extensions', async () => {
    const head = `${INFER}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`;
    const answer = await raw(head + '1\r\n \r\n'.repeat(500_000) + '0\r\n\r\n', { ms: 20_000 });
    expectRefused(answer, 400, 408, 413);
    expect(await ready()).toBe(200);
    const extended = await raw(`${head}1;${'x'.repeat(2 ** 20)}\r\n \r\n0\r\n\r\n`);
    expectRefused(extended, 400, 413);
  });

  test('a body beyond the limit is cut off, whether it says its length or not', async () => {
    expect(statusesOf(await raw(`${INFER}Content-Length: 99999999999\r\n\r\n`, { ms: 3000 }))[0]).toBe(413);
    const endless = await raw('', { ms: 15_000, write: (socket) => {
      socket.write(`${INFER}Inference-Header-Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n`);
      const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(2 ** 20), Buffer.from('\r\n')]);
      const pour = (): void => {
        while (!socket.destroyed && socket.write(piece)) continue;
      };
      socket.on('drain', pour);
      pour();
    } });
    expectRefused(endless, 413);
  });

  test('bodies that are compressed are not inflated', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 2 ** 20));
    for (const encoding of ['gzip', 'deflate', 'br', 'gzip, gzip', 'GZIP', 'x-gzip']) {
      const response = await fetch(`${server.url}/v2/models/double/infer`, { method: 'POST', body: bomb, headers: { 'Content-Encoding': encoding } });
      expect([encoding, response.status]).toEqual([encoding, 415]);
    }
  });
});

describe('those who take their time', () => {
  test('headers, byte by byte, on two hundred connections: others are served, and they are closed', async () => {
    const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'));
    let closed = 0;
    for (const socket of sockets) socket.on('error', () => {}).on('close', () => closed++).on('data', () => {});
    let i = 0;
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: 0123456789'.charAt(i));
      i++;
    }, 200);
    for (let probe = 0; probe < 5; probe++) {
      expect(await ready()).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await vi.waitFor(() => expect(closed).toBe(200), { timeout: 20_000, interval: 100 });
    clearInterval(drip);
  });

  test('a body that never comes', async () => {
    const answer = await raw(`${INFER}Content-Length: 70\r\n\r\n{"inputs"`, { ms: 15_000 });
    expect(statusesOf(answer)).toEqual([408]);
  });

  test('more connections than there may be are closed, and there is room again', async () => {
    const sockets = Array.from({ length: 400 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    await vi.waitFor(() => expect(sockets.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(90), { timeout: 10_000 });
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(async () => expect(await ready().catch(() => 0)).toBe(200), { timeout: 10_000 });
  });

  test('a stream that nobody reads ends with its reader', async () => {
    const ask = JSON.stringify({ model: 'text', messages: [{ role: 'user', content: 'abc' }], max_tokens: 500, stream: true, ignore_eos: true });
    const socket = connect(port, '127.0.0.1', () => socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${ask.length}\r\n\r\n${ask}`));
    socket.on('error', () => {}).pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.destroy();
    await vi.waitFor(async () => expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(/penjing_active_requests\{model="text",version="1"\} 0/), { timeout: 10_000 });
  });
});

describe('schemas and patterns that would stop a generator', () => {
  const deep = (levels: number): object => (levels === 0 ? { type: 'string' } : { type: 'object', properties: { a: deep(levels - 1) }, required: ['a'] });
  test.each<readonly [what: string, schema: object]>([
    ['a pattern that backtracks', { type: 'string', pattern: '^(a+)+$' }],
    ['a pattern that is none', { type: 'string', pattern: '(' }],
    ['a pattern that looks back', { type: 'string', pattern: '(?<=a)b\\1' }],
    ['a repetition of a million', { type: 'string', pattern: 'a{1000000}' }],
    ['repetitions in repetitions', { type: 'string', pattern: '((a{100}){100}){100}' }],
    ['a million items', { type: 'array', items: { type: 'integer' }, minItems: 1_000_000 }],
    ['itself', { $ref: '#' }],
    ['a reference to nothing', { $ref: '#/$defs/nothing' }],
    ['a reference to the network', { $ref: 'http://127.0.0.1:1/schema.json' }],
    ['a reference to a file', { $ref: 'file:///etc/passwd' }],
    ['a loop of references', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }],
    ['thirty levels', deep(30)],
    ['ten thousand properties', { type: 'object', properties: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`p${i}`, { type: 'string' }])) }],
    ['a type that is none', { type: 'nonsense' }],
    ['properties that are no object', { type: 'object', properties: 7 }],
    ['another prototype', JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}},"required":["__proto__","constructor"]}') as object],
  ])('%s: a text or a refusal, and the next request is served', { timeout: 60_000 }, async (_what, schema) => {
    const ask = async (format: object): Promise<number> => {
      const response = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'text', messages: [{ role: 'user', content: 'abc' }], max_tokens: 8, response_format: format }), headers: { 'X-Timeout-Ms': '20000' } });
      const { error } = (await response.json()) as { error?: { message: string } };
      if (error) expect(error.message).not.toMatch(/node_modules|\.ts:|root:/);
      return response.status;
    };
    expect([200, 400, 413, 504]).toContain(await ask({ type: 'json_schema', json_schema: { name: 'x', schema } }));
    expect(await ask({ type: 'text' })).toBe(200);
  });
});

describe('gRPC', () => {
  let session: ClientHttp2Session;
  beforeAll(() => void (session = connectHttp2(`http://${server.grpc}`).on('error', () => {})));
  afterAll(() => session.destroy());
  const frame = (message: Uint8Array, compressed = 0): Buffer => {
    const head = Buffer.alloc(5);
    head[0] = compressed;
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const call = (bytes: Uint8Array, headers: Record<string, string> = {}): Promise<string> =>
    new Promise((resolve) => {
      let code = 'closed';
      const stream = session.request({ ':method': 'POST', ':path': GRPC_INFER_PATH, 'content-type': 'application/grpc', te: 'trailers', ...headers });
      stream.setTimeout(15_000, () => stream.close());
      const seen = (given: IncomingHttpHeaders): void => void (code = [given['grpc-status']].flat()[0] ?? code);
      stream.on('response', seen).on('trailers', seen).on('error', () => {}).on('data', () => {}).on('close', () => resolve(code));
      stream.end(bytes);
    });
  const good = encodeGrpcInferRequest({ modelName: 'double', inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [1, 2], Float32Array.of(1, 2)) }] });

  test('a bomb, a length that lies, an unknown coding, and more metadata than there may be', async () => {
    expect(await call(frame(good))).toBe('0');
    expect(await call(frame(gzipSync(good), 1), { 'grpc-encoding': 'gzip' })).toMatch(/^(0|12)$/);
    // 200 MB of nothing: RESOURCE_EXHAUSTED when it is inflated past the limit.
    expect(await call(frame(gzipSync(Buffer.alloc(200 * 2 ** 20)), 1), { 'grpc-encoding': 'gzip' })).toMatch(/^(8|12|13)$/);
    expect(await call(frame(good, 1), { 'grpc-encoding': 'brotli' })).toMatch(/^(12|13)$/);
    const lying = frame(good);
    lying.writeUInt32BE(0xffff_fff0, 1);
    expect(await call(lying)).toMatch(/^(8|13|closed)$/);
    expect(await call(frame(good).subarray(0, 9))).not.toBe('0');
    expect(await call(frame(good), { 'x-large': 'x'.repeat(20_000) })).toBe('3');
    expect(await call(frame(good), { 'x-large': 'x'.repeat(60_000) })).not.toBe('0');
  });

  test('thousands of calls that are reset at once', async () => {
    const other = connectHttp2(`http://${server.grpc}`);
    other.on('error', () => {});
    for (let i = 0; i < 3000 && !other.destroyed && !other.closed; i++) {
      const stream = other.request({ ':method': 'POST', ':path': GRPC_INFER_PATH, 'content-type': 'application/grpc', te: 'trailers' });
      stream.on('error', () => {});
      stream.write(frame(good));
      stream.close(8);
      if (i % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    other.destroy();
    const fresh = connectHttp2(`http://${server.grpc}`).on('error', () => {});
    session.destroy();
    session = fresh;
    expect(await call(frame(good))).toBe('0');
  });
});
