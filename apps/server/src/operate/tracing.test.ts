import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { DenseTensor, PenjingError } from '@penjing/core';
import { encodeGrpcInferRequest, GRPC_INFER_PATH } from '@penjing/graph-io/v2';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readServerConfig } from '../config/read-config.js';
import type { ServerOptions } from '../config/schema.js';
import { createServer, type PenjingServer } from '../create-server.js';
import { description, fakeHosts } from '../testing/fake-host.js';

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

interface Export {
  readonly resourceSpans: readonly { readonly resource: { readonly attributes: readonly object[] }; readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[] }[];
}

let collector: Server;
let endpoint: string;
let received: string[];
beforeEach(async () => {
  received = [];
  collector = createHttpServer((request, response) => {
    void text(request).then((body) => {
      received.push(body);
      response.setHeader('Content-Type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
});
afterEach(() => new Promise<void>((resolve) => {
  collector.closeAllConnections();
  collector.close(() => resolve());
}));

const tensors = { ...description, task: 'tensors' as const, inputs: [{ name: 'x', dtype: 'float32' as const, shape: ['batch', 2] }], outputs: [{ name: 'y', dtype: 'float32' as const, shape: ['batch', 2] }] };

async function serve(options: ServerOptions = {}): Promise<PenjingServer> {
  const hosts = fakeHosts({
    async write({ prompt }, { emit }) {
      if (prompt.kind === 'text' && prompt.text.includes('fail')) throw new PenjingError('E_CONTEXT', `too long: ${prompt.text}`);
      emit({ choice: 0, text: 'secret reply' });
      return { promptTokens: 3, texts: [{ text: 'secret reply', tokens: 2, finishReason: 'end' }], prefillMs: 2, decodeMs: 5 };
    },
    infer: async ({ inputs: { x } }) => ({ outputs: { y: x! }, computeMs: 3 }),
  }, { describe: ({ path }) => (path === '/tensors' ? tensors : description) });
  const server = createServer({ log: { level: 'silent' }, models: [{ name: 'writer', path: '/writer' }, { name: 'tensors', path: '/tensors' }], traces: { endpoint }, ...options }, { createHost: hosts.create });
  await server.load();
  return server;
}

const post = (server: PenjingServer, path: string, body: object, headers: object = {}): Promise<Response> =>
  server.fetch(new Request(`http://localhost${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) }));
const spans = (): readonly OtlpSpan[] => received.flatMap((body) => (JSON.parse(body) as Export).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
const attribute = (span: OtlpSpan, name: string): object | undefined => span.attributes.find(({ key }) => key === name)?.value;

test('a request is a span of its caller, with what it waited for and what the model did below it; never what was said', async () => {
  const server = await serve();
  const parent = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  const chat = { model: 'writer', messages: [{ role: 'user', content: 'secret question' }] };
  const whole = await post(server, '/v1/chat/completions', chat, parent);
  await (await post(server, '/v1/chat/completions', { ...chat, stream: true }, parent)).text();
  await post(server, '/v2/models/tensors/infer', { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] });
  await server.close();
  const all = spans();
  const requests = all.filter(({ name }) => name.startsWith('POST'));
  expect(requests.map(({ name }) => name)).toEqual(['POST /v1/chat/completions', 'POST /v1/chat/completions', 'POST /v2/models/:model/infer']);
  for (const request of requests) {
    const below = all.filter(({ parentSpanId }) => parentSpanId === request.spanId);
    expect(below.map(({ name }) => name).sort()).toEqual(request.name.includes('v2') ? ['infer', 'queue'] : ['decode', 'prefill', 'queue']);
    for (const child of below) {
      expect(child.traceId).toBe(request.traceId);
      // A stream goes on when its head is out: the request ends with the last of its parts.
      expect(BigInt(child.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(request.endTimeUnixNano) + 1_000_000n);
    }
  }
  expect(requests.map(({ traceId, parentSpanId }) => [traceId, parentSpanId])).toEqual([['a'.repeat(32), 'b'.repeat(16)], ['a'.repeat(32), 'b'.repeat(16)], [expect.not.stringMatching(/^a+$/) as string, undefined]]);
  expect(whole.headers.get('traceparent')).toBe(`00-${'a'.repeat(32)}-${requests[0]!.spanId}-01`);
  const decode = all.find(({ name }) => name === 'decode')!;
  expect(attribute(decode, 'gen_ai.usage.output_tokens')).toEqual({ intValue: 2 });
  expect(Number(BigInt(decode.endTimeUnixNano) - BigInt(decode.startTimeUnixNano))).toBeGreaterThan(4e6);
  expect(received.join()).not.toContain('secret');
  expect(received[0]).toContain('{"key":"service.name","value":{"stringValue":"penjing"}}');
});

test('a call over gRPC is a span too, of the caller that its metadata names, and says which variant answered', async () => {
  const server = await serve({ grpc: { port: 0 }, models: [{ name: 'tensors', path: '/tensors', ladder: [{ variant: 'q4' }] }] });
  const { grpc } = await server.listen();
  const client = new Client(`127.0.0.1:${grpc!.port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`);
  const same = (value: Buffer): Buffer => value;
  const infer = (modelName: string): Promise<Metadata> => new Promise((resolve, reject) => {
    const request = encodeGrpcInferRequest({ modelName, inputs: [{ name: 'x', tensor: DenseTensor.of('float32', [1, 2], Float32Array.of(1, 2)) }] }, { raw: true });
    const call = client.makeUnaryRequest(GRPC_INFER_PATH, same, same, Buffer.from(request), metadata, (error) => void (error && reject(error)));
    call.on('metadata', resolve);
  });
  expect((await infer('tensors')).get('x-penjing-variant')).toEqual(['fp32']);
  await expect(infer('none')).rejects.toMatchObject({ code: status.NOT_FOUND });
  client.close();
  await server.close();
  const all = spans();
  const calls = all.filter(({ name }) => name === GRPC_INFER_PATH.slice(1));
  expect(calls.map((span) => [span.traceId, span.parentSpanId, attribute(span, 'rpc.grpc.status_code')])).toEqual([0, status.NOT_FOUND].map((code) => ['a'.repeat(32), 'b'.repeat(16), { intValue: code }]));
  expect(all.filter(({ parentSpanId }) => parentSpanId === calls[0]!.spanId).map(({ name }) => name).sort()).toEqual(['infer', 'queue']);
});

test('what fails is told by its code; a share of 0 traces only what others trace', async () => {
  const server = await serve({ traces: { endpoint, share: 0, serviceName: 'mine' } });
  const ask = { model: 'writer', prompt: 'secret fail' };
  expect((await post(server, '/v1/completions', ask)).status).toBe(400);
  await post(server, '/v1/completions', ask, { traceparent: 'nonsense' });
  await post(server, '/v1/completions', ask, { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` });
  await server.close();
  const [span, ...others] = spans().filter(({ name }) => name.startsWith('POST'));
  expect(others).toEqual([]);
  expect([attribute(span!, 'error.type'), attribute(span!, 'http.response.status_code'), attribute(span!, 'penjing.request_id')]).toEqual([{ stringValue: 'E_CONTEXT' }, { intValue: 400 }, expect.anything()]);
  expect(received.join()).not.toContain('secret');
});

test('a collector that is away disturbs nobody', async () => {
  const server = await serve({ traces: { endpoint: 'http://127.0.0.1:1/v1/traces' } });
  expect((await post(server, '/v1/completions', { model: 'writer', prompt: 'a' })).status).toBe(200);
  await server.close();
});

test('the standard variables say where to, unless the configuration does', async () => {
  const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/', OTEL_SERVICE_NAME: 'chat' };
  expect((await readServerConfig({ environment })).traces).toEqual({ endpoint: 'http://collector:4318/v1/traces', serviceName: 'chat', share: 1 });
  expect((await readServerConfig({ environment: { ...environment, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://other/x' } })).traces!.endpoint).toBe('http://other/x');
  expect((await readServerConfig({ environment, options: { traces: { endpoint: 'http://mine/v1/traces' } } })).traces!.endpoint).toBe('http://mine/v1/traces');
  expect((await readServerConfig({})).traces).toBeUndefined();
  await expect(readServerConfig({ options: { traces: { endpoint: 'file:///etc/passwd' } } })).rejects.toMatchObject({ code: 'E_CONFIG' });
});
