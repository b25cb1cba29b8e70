/** The server before its models: keys, limits, errors, sockets, ending. Models are stand-ins. */
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createServer, type PenjingServer } from '../create-server.js';
import { hashOfKey } from '../config/read-config.js';
import type { ServerOptions } from '../config/schema.js';
import { fakeHosts, type FakeMethods } from '../testing/fake-host.js';
import { readJson } from './body.js';
import { withinDepth } from './json-depth.js';
import { z } from 'zod';
import type { RouteModule } from '../context.js';

const servers: PenjingServer[] = [];
afterEach(async () => void (await Promise.all(servers.splice(0).map((server) => server.close()))));

/** Answers what it read, or waits until it is cancelled. */
const echo: RouteModule = (app, { config, models }) => {
  app.post('/test/echo', async (c) => c.json(await readJson(c.req.raw, z.json(), config.limits)));
  app.get('/test/wait', async (c) => c.json(await models.get('a').call('write', { prompt: { kind: 'text', text: '' }, choices: 1, options: {} }, { signal: c.get('signal')() })));
  app.get('/test/elsewhere', () => Response.redirect('http://localhost/healthz'));
  app.get('/test/broken', () => {
    throw new Error('the secret of /etc/penjing');
  });
};

async function serverOf(options: ServerOptions = {}, methods: FakeMethods = {}): Promise<PenjingServer> {
  const server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'a', path: '/a' }], ...options }, { createHost: fakeHosts(methods).create, routes: [echo] });
  servers.push(server);
  await server.load();
  return server;
}

const ask = (server: PenjingServer, path: string, init?: RequestInit): Promise<Response> => server.fetch(new Request(`http://localhost${path}`, init));
const post = (server: PenjingServer, body: BodyInit, headers: Record<string, string> = {}): Promise<Response> => ask(server, '/test/echo', { method: 'POST', body, headers });

/** What a socket says to raw bytes, until it closes. */
async function raw(server: PenjingServer, ...parts: readonly (string | Uint8Array)[]): Promise<string> {
  const { main } = await server.listen();
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(main.port, main.host, () => {
      for (const part of parts) socket.write(part);
    });
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
}

test('probes tell the truth, and every reply has an id', async () => {
  const server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'a', path: '/a' }] }, { createHost: fakeHosts({}, { load: () => new Promise((resolve) => setTimeout(resolve, 50)) }).create });
  servers.push(server);
  const loading = server.load();
  await vi.waitFor(() => expect(server.models.list()).toHaveLength(1));
  expect((await ask(server, '/v2/health/ready')).status).toBe(503);
  await loading;
  const ready = await ask(server, '/v2/health/ready', { headers: { 'X-Request-Id': 'mine-1' } });
  expect([ready.status, ready.headers.get('x-request-id')]).toEqual([200, 'mine-1']);
  expect((await ask(server, '/healthz', { headers: { 'X-Request-Id': 'no spaces' } })).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect((await ask(server, '/v2/health/live')).status).toBe(200);
  expect((await ask(server, '/', { headers: { 'X-Request-Id': 'mine-2' } })).headers.get('x-request-id')).toBe('mine-2');
  const unchangeable = await ask(await serverOf(), '/test/elsewhere', { headers: { 'X-Request-Id': 'mine-3' } });
  expect([unchangeable.status, unchangeable.headers.get('location'), unchangeable.headers.get('x-request-id')]).toEqual([302, 'http://localhost/healthz', 'mine-3']);
  expect(await (await ask(server, '/v1/models')).json()).toMatchObject({ object: 'list', data: [{ id: 'a', object: 'model', owned_by: 'penjing' }] });
  expect((await ask(server, '/v1/models/b')).status).toBe(404);
  expect(await (await ask(server, '/metrics')).text()).toMatch(/penjing_http_requests_total\{route="\/v2\/health\/ready",method="GET",status="503"\} 1/);
  expect(await (await ask(server, '/metrics')).text()).toMatch(/penjing_http_requests_total\{route="\/metrics",method="GET",status="200"\} 1/);
});

describe('keys', () => {
  const keys = [{ name: 'user', sha256: hashOfKey('k-user') }, { name: 'root', sha256: hashOfKey('k-root'), scopes: ['infer', 'admin', 'metrics'] as ('infer' | 'admin' | 'metrics')[] }, { name: 'graphs', sha256: hashOfKey('k-graphs'), scopes: ['metrics'] as 'metrics'[] }];

  test('open paths are few; the rest needs one, by every method and every spelling', async () => {
    const server = await serverOf({ keys });
    for (const path of ['/healthz', '/v2/health/live', '/v2/health/ready']) {
      expect((await ask(server, path)).status).toBe(200);
      expect((await ask(server, path, { method: 'POST' })).status).toBe(401);
    }
    const paths = ['/v1/models', '/v1/models/a', '/v1//models', '/v1/models/', '/V1/models', '/%761/models', '/ui/../v1/models', '/healthz/../v1/models', '/healthz/', '/v2/health/live/', '/metrics', '/admin/models', '/admin/models/a/load', '/nothing', '/test/echo', '//healthz', '/healthz%00', '/healthz;x'];
    for (const path of paths) for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) expect((await ask(server, path, { method })).status, `${method} ${path}`).toBe(401);
  });

  test('scopes hold, a wrong key is refused, and both headers are read', async () => {
    const server = await serverOf({ keys });
    const as = async (key: string, path: string, method = 'GET') => (await ask(server, path, { method, headers: { Authorization: `Bearer ${key}` } })).status;
    expect([await as('k-user', '/v1/models'), await as('k-user', '/metrics'), await as('k-user', '/admin/models')]).toEqual([200, 200, 403]);
    expect([await as('k-root', '/admin/models'), await as('k-root', '/admin/models/a/load', 'POST'), await as('k-graphs', '/v1/models'), await as('k-graphs', '/metrics')]).toEqual([200, 200, 403, 200]);
    expect([await as('k-use', '/v1/models'), await as('', '/v1/models'), await as('x'.repeat(5000), '/v1/models')]).toEqual([401, 401, 401]);
    expect((await ask(server, '/v1/models', { headers: { 'X-Api-Key': 'k-user' } })).status).toBe(200);
    expect(await (await ask(server, '/v1/models')).json()).toMatchObject({ error: { type: 'authentication_error', code: 'invalid_api_key' } });
  });

  test('a public address needs one, unless it is forced', async () => {
    await expect(createServer({ host: '0.0.0.0', log: { level: 'silent' } }).listen()).rejects.toMatchObject({ code: 'E_PUBLIC' });
    await expect(createServer({ admin: { host: '::', port: 0 }, log: { level: 'silent' } }).listen()).rejects.toMatchObject({ code: 'E_PUBLIC' });
    const server = await serverOf({ host: '0.0.0.0', keys });
    expect((await server.listen()).main.port).toBeGreaterThan(0);
    // Administration is not on a public address.
    expect((await ask(server, '/admin/models', { headers: { Authorization: 'Bearer k-root' } })).status).toBe(404);
  });

  test('without keys, pages of other origins and names that are not local are refused', async () => {
    const server = await serverOf({ cors: { origins: ['https://friend.example'] } });
    const from = async (headers: Record<string, string>) => (await ask(server, '/v1/models', { headers })).status;
    expect([await from({ Host: 'rebound.example' }), await from({ Host: 'localhost', Origin: 'https://evil.example' }), await from({ Host: 'localhost', Origin: 'null' })]).toEqual([403, 403, 403]);
    expect([await from({ Host: '127.0.0.1:8080', Origin: 'http://127.0.0.1:8080' }), await from({ Host: 'localhost', Origin: 'https://friend.example' })]).toEqual([200, 200]);
    const preflight = await ask(server, '/test/echo', { method: 'OPTIONS', headers: { Origin: 'https://friend.example', 'Access-Control-Request-Method': 'POST' } });
    expect(preflight.headers.get('access-control-allow-headers')?.split(',')).toEqual(expect.arrayContaining(['X-Timeout-Ms', 'traceparent']));
    const friend = await ask(server, '/v1/models', { headers: { Host: 'localhost', Origin: 'https://friend.example' } });
    expect(friend.headers.get('access-control-expose-headers')?.split(',')).toContain('traceparent');
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, 'https://friend.example']);
  });
});

describe('bodies', () => {
  test('have limits', async () => {
    const server = await serverOf({ limits: { jsonBytes: 2048, bodyChunks: 16 } });
    expect((await post(server, '{"a":[1]}')).status).toBe(200);
    expect((await post(server, `"${'x'.repeat(3000)}"`)).status).toBe(413);
    expect((await post(server, '[1', { 'Content-Type': 'application/json' })).status).toBe(400);
    expect((await post(server, new Uint8Array([0x22, 0xff, 0x22]))).status).toBe(400);
    expect((await post(server, '')).status).toBe(400);
    expect((await post(server, new Uint8Array(10), { 'Content-Encoding': 'gzip' })).status).toBe(415);
    const chunks = new ReadableStream({ start: (controller) => (Array.from({ length: 40 }, () => controller.enqueue(new Uint8Array([0x20]))), controller.close()) });
    expect((await ask(server, '/test/echo', { method: 'POST', body: chunks, duplex: 'half' } as RequestInit)).status).toBe(413);
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  test('nest within limits, however deep they are', async () => {
    const server = await serverOf();
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect((await post(server, nested(100))).status).toBe(200);
    const deep = await post(server, nested(101));
    expect([deep.status, await deep.json()]).toMatchObject([400, { error: { message: 'the JSON nests deeper than 100 levels' } }]);
    expect((await post(server, nested(250_000))).status).toBe(400);
    expect((await post(server, '{"a":'.repeat(250_000))).status).toBe(400);
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  test('the depth that is told is the depth that is parsed', () => {
    const depthOf = (value: unknown): number => (typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0);
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.nat(8), (value, limit) => {
        expect(withinDepth(new TextEncoder().encode(JSON.stringify(value)), limit)).toBe(depthOf(value) <= limit);
      }),
    );
  });
});

test('a failure of ours says nothing about the inside', async () => {
  const server = await serverOf();
  const reply = await ask(server, '/test/broken');
  const text = await reply.text();
  expect(reply.status).toBe(500);
  expect(text).not.toMatch(/secret|etc/);
  expect(text).toContain('E_INTERNAL');
});

describe('sockets', () => {
  test('what is no HTTP, too long, or too slow gets an answer and is closed', async () => {
    expect(await raw(await serverOf(), 'hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(await serverOf(), `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    const slow = await serverOf({ limits: { headersMs: 50, requestMs: 60 } });
    const started = performance.now();
    expect(await raw(slow, 'GET /healthz HTTP/1.1\r\nHost: local')).toMatch(/^HTTP\/1\.1 408 |^$/);
    expect(performance.now() - started).toBeLessThan(10_000);
    const both = await raw(await serverOf(), 'POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
    expect(both).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('a request has the time that its client gives it', async () => {
    const server = await serverOf({}, { write: () => new Promise(() => {}) });
    const status = async (ms: string) => (await ask(server, '/test/wait', { headers: { 'X-Timeout-Ms': ms } })).status;
    expect([await status('30'), await status('0'), await status('-1'), await status('1e3'), await status('99999999')]).toEqual([504, 400, 400, 400, 400]);
    expect(server.models.get('a').health()).toMatchObject({ inFlight: 0 });
  });

  test('a client that leaves cancels its call', async () => {
    const cancelled = vi.fn();
    const server = await serverOf({}, { write: (_params, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => (cancelled(), reject(signal.reason as Error)))) });
    const { main } = await server.listen();
    const leaving = new AbortController();
    const reply = fetch(`${main.url}/test/wait`, { signal: leaving.signal });
    setTimeout(() => leaving.abort(), 50);
    await expect(reply).rejects.toThrow();
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce());
  });

  test('ending refuses what is new and loses nothing that is in flight', async () => {
    let answer: () => void = () => {};
    const server = await serverOf({}, { write: () => new Promise((resolve) => (answer = () => resolve({ promptTokens: 1, texts: [], prefillMs: 0, decodeMs: 0 }))) });
    const { main } = await server.listen();
    const reply = fetch(`${main.url}/test/wait`);
    await vi.waitFor(() => expect(server.models.get('a').health()).toMatchObject({ inFlight: 1 }));
    const closed = server.close();
    expect((await ask(server, '/v1/models')).status).toBe(503);
    expect((await ask(server, '/v2/health/ready')).status).toBe(503);
    expect((await ask(server, '/v2/health/live')).status).toBe(200);
    await expect(fetch(`${main.url}/healthz`)).rejects.toThrow();
    answer();
    expect((await reply).status).toBe(200);
    await closed;
  });

  test('what does not end in time is cut', async () => {
    const server = await serverOf({ drainMs: 100 }, { write: () => new Promise(() => {}) });
    const { main } = await server.listen();
    const reply = fetch(`${main.url}/test/wait`).then(({ status }) => status, () => 'cut');
    await vi.waitFor(() => expect(server.models.get('a').health()).toMatchObject({ inFlight: 1 }));
    await server.close();
    expect([503, 'cut']).toContain(await reply);
  });
});
