/** Every route, from the OpenAPI document: what the schemas allow and what they do not. No answer is a failure of ours, and after each the server is ready. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createServer } from '../create-server.js';
import type { PenjingServer } from '../create-server.js';
import type { Written } from '../host/protocol.js';
import { description, fakeHosts } from '../testing/fake-host.js';
import { type JsonSchema, valuesOf } from '../testing/schema-values.js';

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> } }>>>>;
}

const written: Written = { promptTokens: 1, texts: [{ text: 'yes', tokens: 1, finishReason: 'end' }], prefillMs: 0, decodeMs: 0 };

async function started(): Promise<PenjingServer> {
  const hosts = fakeHosts(
    {
      write: async ({ choices }) => ({ ...written, texts: Array.from({ length: choices }, () => written.texts[0]!) }),
      embed: async ({ texts }) => ({ embeddings: texts.map(() => new Float32Array(4)), tokens: 1 }),
    },
    { describe: ({ path }) => ({ ...description, task: path === '/words' ? 'embedding' : 'text-generation' }) },
  );
  const server = createServer({ log: { level: 'silent' }, models: [{ name: 'talker', path: '/talker' }, { name: 'words', path: '/words' }] }, { createHost: hosts.create });
  await server.load();
  return server;
}

const models = fc.constantFrom('talker', 'words', 'nobody', '', ' ', '..', '../../etc/passwd', '盆景', 'a'.repeat(256), 'a/b', 'a%2fb', '%00', '\u0000');
const runs = { numRuns: 60 };

test('bodies: allowed, half allowed, and not at all', { timeout: 60_000 }, async () => {
  await using server = await started();
  const ask = (path: string, init?: RequestInit): Promise<Response> => server.fetch(new Request(`http://localhost${path}`, init));
  const document = (await (await ask('/openapi.json')).json()) as Document;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).flatMap(([method, { requestBody }]) => (requestBody?.content['application/json'] ? [{ path, method, schema: requestBody.content['application/json'].schema }] : [])));
  expect(operations.length).toBeGreaterThanOrEqual(3);
  for (const { path, method, schema } of operations) {
    const send = async (body: unknown): Promise<number> => {
      const response = await ask(path.replace(/\{\w+\}/g, 'talker'), { method: method.toUpperCase(), body: typeof body === 'string' ? body : JSON.stringify(body) });
      await response.text();
      return response.status;
    };
    const allowed = fc.tuple(valuesOf(schema), models).map(([body, model]) => ({ ...(body as object), ...('model' in (schema.properties ?? {}) && { model }) }));
    await fc.assert(
      fc.asyncProperty(allowed, async (body) => {
        expect([200, 400, 404], JSON.stringify(body)).toContain(await send(body));
      }),
      runs,
    );
    const spoilt = fc.tuple(allowed, fc.constantFrom(...Object.keys(schema.properties ?? { x: 0 })), fc.jsonValue({ maxDepth: 3 })).map(([body, field, value]) => ({ ...body, [field]: value }));
    await fc.assert(
      fc.asyncProperty(fc.oneof(spoilt, fc.jsonValue(), fc.string()), async (body) => {
        expect([200, 400, 404], JSON.stringify(body)).toContain(await send(body));
      }),
      runs,
    );
    for (const text of ['{"model":"talker","max_tokens":1e400}', '{"model":"talker","n":9007199254740993}', '{"__proto__":{"model":"talker"},"constructor":1}', '{"model":"talker","messages":[{"role":"user","content":"\\ud800"}],"temperature":NaN}', '\ufeff{}', '{"a":1}{"b":2}']) expect([200, 400, 404]).toContain(await send(text));
  }
  expect((await ask('/v2/health/ready')).status).toBe(200);
});

test('paths, methods and names', { timeout: 60_000 }, async () => {
  await using server = await started();
  const document = (await (await server.fetch(new Request('http://localhost/openapi.json'))).json()) as Document;
  const paths = fc.oneof(fc.constantFrom(...Object.keys(document.paths)), fc.webPath());
  const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD');
  await fc.assert(
    fc.asyncProperty(paths, methods, models, fc.webQueryParameters(), async (path, method, name, query) => {
      const url = `http://localhost${path.replace(/\{\w+\}/g, () => encodeURIComponent(name))}?${query}`;
      const response = await server.fetch(new Request(url, { method, ...(method === 'POST' && { body: '{}' }) }));
      await response.text();
      expect(response.status, `${method} ${url}`).toBeLessThan(500);
    }),
    { numRuns: 300 },
  );
  // Some of them unload the models.
  for (const name of ['talker', 'words']) await server.models.load(name);
  expect((await server.fetch(new Request('http://localhost/v2/health/ready'))).status).toBe(200);
});
