/** The document tells what there is, and what it tells is how requests are checked. */
import { expect, test } from 'vitest';
import { createServer } from '../create-server.js';
import { adminRoutes, operations, routes } from '../routes.js';
import { createApp } from '../http/app.js';
import { hashOfKey, parseConfig } from '../config/read-config.js';
import { fakeHosts } from '../testing/fake-host.js';
import { createLogger } from './logger.js';
import { Metrics } from './metrics.js';
import { createTracing } from './tracing.js';

test('every route is in the document, and nothing else', () => {
  const app = createApp([...routes, ...adminRoutes], { config: parseConfig({}), metrics: new Metrics(), logger: createLogger('silent'), models: undefined as never, inference: undefined as never, tracing: createTracing(undefined), draining: () => false }, new AbortController().signal);
  const there = app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method.toLowerCase()} ${path.replace(/:(\w+)/g, '{$1}')}`);
  const told = [...operations.map(({ method, path }) => `${method} ${path}`), 'get /openapi.json'];
  expect(told.sort()).toEqual(there.sort());
});

test('the document is served, and says what a body must be', async () => {
  await using server = createServer({ log: { level: 'silent' } }, { createHost: fakeHosts({}).create });
  const document = (await (await server.fetch(new Request('http://localhost/openapi.json'))).json()) as { openapi: string; paths: Record<string, Record<string, { operationId: string; requestBody?: { content: Record<string, { schema: { required: string[]; properties: Record<string, object> } }> } }>> };
  expect(document.openapi).toBe('3.1.0');
  const { requestBody } = document.paths['/v1/chat/completions']!['post']!;
  const { required, properties } = requestBody!.content['application/json']!.schema;
  expect(required.sort()).toEqual(['messages', 'model']);
  expect(JSON.stringify(properties['temperature'])).toContain('"maximum":2');
  const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  expect(new Set(ids).size).toBe(ids.length);
  // Every reference is in the document.
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!);
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) expect(reference.slice(2).split('/').reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document), reference).toBeTypeOf('object');
});

test('a key is asked for in the document of a server that has keys, and not of others', async () => {
  const documentOf = async (keys: { name: string; sha256: string }[]): Promise<string> => {
    await using server = createServer({ log: { level: 'silent' }, keys }, { createHost: fakeHosts({}).create });
    return (await server.fetch(new Request('http://localhost/openapi.json', { headers: { 'X-Api-Key': 'k' } }))).text();
  };
  expect(await documentOf([])).not.toContain('security');
  expect(JSON.parse(await documentOf([{ name: 'k', sha256: hashOfKey('k') }]))).toMatchObject({ components: { securitySchemes: { key: { scheme: 'bearer' } } }, paths: { '/metrics': { get: { security: [{ key: ['metrics'] }] } }, '/healthz': { get: expect.not.objectContaining({ security: expect.anything() as object }) as object } } });
});
