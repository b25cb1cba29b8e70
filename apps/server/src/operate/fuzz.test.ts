/** Every route, from the OpenAPI document: what the schemas allow and what they do not. No answer is a failure of ours, none is other than the document says, and after each the server is ready. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createServer } from '../create-server.js';
import type { PenjingServer } from '../create-server.js';
import { hashOfKey } from '../config/read-config.js';
import type { ServerOptions } from '../config/schema.js';
import type { Written } from '../host/protocol.js';
import { operations } from '../routes.js';
import { description, fakeHosts } from '../testing/fake-host.js';
import { type JsonSchema, valuesOf } from '../testing/schema-values.js';

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> } }>>>>;
}

const written: Written = { promptTokens: 1, texts: [{ text: 'yes', tokens: 1, finishReason: 'end' }], prefillMs: 0, decodeMs: 0 };
const tensors = { ...description, task: 'tensors', inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 2] }], outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 2] }] } as const;

async function started(options: ServerOptions = {}): Promise<PenjingServer> {
  const hosts = fakeHosts(
    {
      write: async ({ choices }) => ({ ...written, texts: Array.from({ length: choices }, () => written.texts[0]!) }),
      embed: async ({ texts }) => ({ embeddings: texts.map(() => new Float32Array(4)), tokens: 1 }),
      infer: async ({ inputs }) => ({ outputs: { y: inputs['x']! }, computeMs: 0 }),
    },
    { describe: ({ path }) => (path === '/numbers' ? tensors : { ...description, task: path === '/words' ? 'embedding' : 'text-generation' }) },
  );
  const server = createServer({ log: { level: 'silent' }, models: ['talker', 'words', 'numbers'].map((name) => ({ name, path: `/${name}` })), ...options }, { createHost: hosts.create });
  await server.load();
  return server;
}

const ask = (server: PenjingServer, path: string, init?: RequestInit): Promise<Response> => server.fetch(new Request(`http://localhost${path}`, init));
const models = fc.constantFrom('talker', 'words', 'numbers', 'nobody', '', ' ', '..', '../../etc/passwd', '盆景', 'a'.repeat(256), 'a/b', 'a%2fb', '%00', '\u0000');
const runs = { numRuns: 40 };
/** Models are stand-ins here, without files that could be looked into. */
const NO_FILES = 'E_GRAPH';
/** A good request, as far as the schema leaves it open: half of what is made from it is good or nearly so. */
const tensor = fc.record({ name: fc.constant('x'), datatype: fc.constantFrom('FP32', 'INT64', 'FP16', 'BYTES', 'BF16', 'fp32', ''), shape: fc.oneof(fc.constant([1, 2]), fc.array(fc.integer(), { maxLength: 4 })), data: fc.oneof(fc.constant([1, 2]), fc.jsonValue({ maxDepth: 2 })) });

describe('bodies: allowed, half allowed, and not at all', async () => {
  await using server = await started();
  const document = (await (await ask(server, '/openapi.json')).json()) as Document;
  const withBody = operations.filter(({ body }) => body !== undefined);
  test('there are some', () => expect(withBody.length).toBeGreaterThanOrEqual(7));

  test.each(withBody.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))('%s', { timeout: 60_000 }, async (_name, { path, method, body: checked, reply }) => {
    await using own = await started();
    const { schema } = document.paths[path]![method]!.requestBody!.content['application/json']!;
    const send = async (body: unknown): Promise<void> => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const response = await ask(own, path.replace(/\{model\}/, 'numbers').replace(/\{version\}/, '1'), { method: method.toUpperCase(), body: text });
      const said = await response.text();
      // 413: a shape of more elements than JSON may have.
      expect([200, 400, 404, 413, 503], `${text}: ${said}`).toContain(response.status);
      // A byte order mark may be ignored (RFC 8259).
      const readable = parsedOr(text.replace(/^\ufeff/, ''));
      if (response.status === 200) {
        if (text !== '') expect(checked!.safeParse(readable).success, `${text} is not allowed by the document, and was answered`).toBe(true);
        if (!response.headers.get('content-type')!.startsWith('text/event-stream')) expect(reply.safeParse(JSON.parse(said)).error, said).toBeUndefined();
      } else expect(JSON.parse(said), text).toHaveProperty('error');
    };
    const known = 'inputs' in (schema.properties ?? {}) ? fc.record({ inputs: fc.array(tensor, { maxLength: 2 }), parameters: valuesOf(schema.properties!['parameters']!) }, { requiredKeys: ['inputs'] }) : fc.constant({});
    const allowed = fc.tuple(valuesOf(schema), models, known).map(([body, model, more]) => ({ ...(body as object), ...more, ...('model' in (schema.properties ?? {}) && { model }) }));
    const spoilt = fc.tuple(allowed, fc.constantFrom(...Object.keys(schema.properties ?? { x: 0 })), fc.jsonValue({ maxDepth: 3 })).map(([body, field, value]) => ({ ...body, [field]: value }));
    const lacking = fc.tuple(allowed, fc.constantFrom(...Object.keys(schema.properties ?? { x: 0 }))).map(([body, field]) => Object.fromEntries(Object.entries(body).filter(([key]) => key !== field)));
    for (const bodies of [allowed, fc.oneof(spoilt, lacking, fc.jsonValue(), fc.string())]) await fc.assert(fc.asyncProperty(bodies, send), runs);
    for (const text of ['{"model":"talker","max_tokens":1e400}', '{"model":"talker","n":9007199254740993}', '{"__proto__":{"model":"talker"},"constructor":1}', '{"model":"talker","messages":[{"role":"user","content":"\\ud800"}],"temperature":NaN}', '\ufeff{}', '{"a":1}{"b":2}', '{"inputs":[],"inputs":[{"name":"x"}]}']) await send(text);
    for (const name of ['talker', 'words', 'numbers']) await own.models.load(name);
    expect((await ask(own, '/v2/health/ready')).status).toBe(200);
  });

  test('binary tensors: any bytes, any length of the header', { timeout: 60_000 }, async () => {
    await using own = await started();
    const head = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}';
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 16 }).map((tail) => Uint8Array.from([...Buffer.from(head), ...tail])));
    const length = fc.oneof(fc.constant(String(head.length)), fc.nat(300).map(String), fc.constantFrom('', '-1', '1e3', '99999999999', '18446744073709551616', '0x10', ' 5', '5, 5', '٣'));
    await fc.assert(
      fc.asyncProperty(bytes, length, async (body, header) => {
        const response = await own.fetch(new Request('http://localhost/v2/models/numbers/infer', { method: 'POST', body: new Uint8Array(body), headers: [...header].every((sign) => sign.charCodeAt(0) < 256) ? { 'Inference-Header-Content-Length': header } : {} }));
        await response.arrayBuffer();
        expect([200, 400]).toContain(response.status);
      }),
      { numRuns: 300 },
    );
    expect((await ask(own, '/v2/health/ready')).status).toBe(200);
  });
});

describe('paths, methods and names', () => {
  test('any', { timeout: 60_000 }, async () => {
    await using server = await started();
    const paths = fc.oneof(fc.constantFrom(...operations.map(({ path }) => path)), fc.webPath());
    const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD');
    await fc.assert(
      fc.asyncProperty(paths, methods, models, fc.webQueryParameters(), async (path, method, name, query) => {
        const url = `http://localhost${path.replace(/\{\w+\}/g, () => encodeURIComponent(name))}?${query}`;
        const response = await server.fetch(new Request(url, { method, ...(method === 'POST' && { body: '{}' }) }));
        await response.text();
        // Some of them unload the models.
        if (response.status !== 503) expect(response.status, `${method} ${url}`).toBeLessThan(500);
      }),
      { numRuns: 300 },
    );
    for (const name of ['talker', 'words', 'numbers']) await server.models.load(name);
    expect((await ask(server, '/v2/health/ready')).status).toBe(200);
  });

  const hostile = ['..', '.', '%2e%2e', '..%2f..%2fetc%2fpasswd', '%2e%2e%5cwindows', '%00', 'a%00.onnx', '%20', '%09', '%E7%9B%86', '%ff', '%', '%zz', 'a'.repeat(129), 'a'.repeat(4000), '__proto__', 'constructor', 'toString', '$%7BPATH%7D', '%3Cscript%3E', "'%20or%201=1", 'con', '-', '_'];

  test.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))('%s: no name leads anywhere, no other method does anything, and replies are as documented', { timeout: 60_000 }, async (_name, { method, path, reply, replyType, body }) => {
    await using server = await started();
    const filled = (name: string): string => path.replace(/\{(model|name)\}/, name).replace(/\{\w+\}/, '1');
    if (path.includes('{')) {
      for (const name of hostile) {
        const response = await ask(server, filled(name), { method: method.toUpperCase(), ...(body && { body: '{"inputs":[]}' }) });
        const said = await response.text();
        // 405 and 200: a path that dots have shortened to another one.
        expect([400, 404, ...(/^(\.|%2e)/i.test(name) ? [200, 405] : [])], `${name}: ${said}`).toContain(response.status);
        expect(said, name).not.toMatch(/root:|node_modules|\.ts:|\/home|ENOENT/);
      }
    }
    for (const other of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const isThere = operations.some((one) => one.path === path && one.method.toUpperCase() === other);
      if (isThere) continue;
      const response = await ask(server, filled('numbers'), { method: other });
      // `/v2/models/stats` is also a model of that name.
      expect(response.status, other).toBe(405);
      expect(response.headers.get('allow')).toContain(method.toUpperCase());
      await response.text();
    }
    if (method === 'get') {
      const response = await ask(server, filled('numbers'));
      const said = await response.text();
      if (response.status === 200) expect(reply.safeParse(replyType === 'text/plain' ? said : JSON.parse(said)).error, said).toBeUndefined();
      else expect(response.status, said).toBe(said.includes(NO_FILES) ? 500 : 404);
      expect((await ask(server, filled('numbers'), { method: 'HEAD' })).status).toBe(response.status);
    }
    expect((await ask(server, '/v2/health/ready')).status).toBe(200);
  });

  test('without a key each route but the probes is 401, by every method and spelling; with one of another scope 403', { timeout: 60_000 }, async () => {
    const keys = (['infer', 'admin', 'metrics'] as const).map((scope) => ({ name: scope, sha256: hashOfKey(scope), scopes: [scope] }));
    await using server = await started({ keys });
    const spellings = (path: string): string[] => [path, `${path}/`, `/${path}`, path.toUpperCase(), `/healthz/..${path}`, `/healthz%2f..${path}`, `/ui/..${path}`, `/ui/%2e%2e${path}`, `${path}?key=infer`, `${path};x`, `${path}%00`, `${path}#healthz`, path.replace(/\/(\w)/, (_, first: string) => `/%${first.charCodeAt(0).toString(16)}`)];
    for (const { method, path, scope } of operations) {
      const real = path.replace(/\{(model|name)\}/, 'numbers').replace(/\{\w+\}/, '1');
      if (scope === undefined) {
        expect((await ask(server, real)).status, path).toBe(200);
        continue;
      }
      for (const spelt of spellings(real)) {
        for (const verb of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) expect((await ask(server, spelt, { method: verb })).status, `${verb} ${spelt}`).toBe(401);
      }
      const headers: readonly Record<string, string>[] = [{ Authorization: 'Bearer' }, { Authorization: 'Basic aW5mZXI6' }, { Authorization: 'Bearer infer, Bearer admin' }, { 'X-Api-Key': '' }, { 'X-Original-URL': '/healthz', 'X-Rewrite-URL': '/healthz' }, { 'X-Forwarded-For': '127.0.0.1', Host: 'localhost' }];
      for (const header of headers) expect((await ask(server, real, { method: method.toUpperCase(), headers: header })).status, JSON.stringify(header)).toBe(401);
      for (const other of ['infer', 'admin', 'metrics']) {
        const reply = await ask(server, real, { method: method.toUpperCase(), headers: { 'X-Api-Key': other }, ...(method === 'post' && { body: '{}' }) });
        if (other !== scope) expect(reply.status, `${path} by ${other}`).toBe(403);
        else if (!(await reply.text()).includes(NO_FILES)) expect([200, 400, 404, 503], `${path} by ${other}`).toContain(reply.status);
      }
    }
  });
});

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
