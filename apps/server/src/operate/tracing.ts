/** Traces by OpenTelemetry: a span of each request, with those of what it waited for and what the model did; never what a client sent. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type * as Api from '@opentelemetry/api';
import { isPenjingError, PenjingError } from '@penjing/core';
import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { ServerConfig } from '../config/schema.js';
import type { RequestVariables } from '../context.js';
import { addHeaders } from '../http/reply-headers.js';

export interface Tracing {
  /** Loads OpenTelemetry, once. Throws `E_PEER` when it is not installed. */
  start(): Promise<void>;
  /** Around every request over HTTP; absent where nothing is traced. */
  readonly middleware: MiddlewareHandler<{ Variables: RequestVariables }> | undefined;
  /** Around a call over gRPC: its method as the path says it, the caller's `traceparent`, and what the work says of how it went. */
  call<T>(call: TracedCall, work: () => Promise<T>): Promise<T>;
  /** Work of the current request, which its span waits for: a stream goes on when its head is out. */
  during<T>(work: (stage: Stage) => Promise<T>): Promise<T>;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Tells of a part of the work once it is over: how long it took, and when it ended (now, in milliseconds of `performance`). */
export type Stage = (name: string, ms: number, attributes?: Readonly<Record<string, string | number>>, endedAt?: number) => void;

export interface TracedCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly traceparent: string | undefined;
  /** Number of the status that an error is answered with. */
  readonly statusOf: (error: unknown) => number;
}

interface Current {
  readonly span: Api.Span;
  /** What still runs; the span ends with the last. */
  open: number;
}

interface OpenTelemetry {
  readonly api: typeof Api;
  readonly tracer: Api.Tracer;
  readonly shutdown: () => Promise<void>;
}

const nothing: Tracing = { start: async () => {}, middleware: undefined, call: (_, work) => work(), during: (work) => work(() => {}), close: async () => {} };

export function createTracing(config: ServerConfig['traces']): Tracing {
  if (!config) return nothing;
  const current = new AsyncLocalStorage<Current>();
  let loading: Promise<OpenTelemetry> | undefined;
  let loaded: OpenTelemetry | undefined;
  const release = (request: Current): void => {
    if (--request.open === 0) request.span.end();
  };
  const begin = ({ api: { ROOT_CONTEXT, SpanKind, trace }, tracer }: OpenTelemetry, name: string, traceparent: string | undefined, attributes: Api.Attributes): Current => {
    const parent = parentOf(traceparent);
    return { span: tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT), open: 1 };
  };
  return {
    async start() {
      loading ??= openTelemetry(config);
      loaded = await loading;
    },
    middleware: async (c, next) => {
      if (!loaded) return next();
      const request = begin(loaded, c.req.method, c.req.header('traceparent'), { 'http.request.method': c.req.method, 'penjing.request_id': c.get('requestId') });
      const { span } = request;
      try {
        await current.run(request, next);
        // The pattern, as in metrics: what clients make up stays out.
        const route = matchedRoutes(c).find(({ path }) => path !== '/*')?.path ?? '/*';
        span.updateName(`${c.req.method} ${route}`);
        span.setAttributes({ 'http.route': route, 'http.response.status_code': c.res.status });
        if (c.res.status >= 500) span.setStatus({ code: loaded.api.SpanStatusCode.ERROR });
        addHeaders(c, { traceparent: traceparentOf(span.spanContext()) });
      } finally {
        release(request);
      }
    },
    async call({ path, traceparent, statusOf }, work) {
      if (!loaded) return work();
      const [service = '', method = ''] = path.slice(1).split('/');
      const request = begin(loaded, path.slice(1), traceparent, { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method });
      const { span } = request;
      try {
        const result = await current.run(request, work);
        span.setAttribute('rpc.grpc.status_code', 0);
        return result;
      } catch (error) {
        span.setAttribute('rpc.grpc.status_code', statusOf(error));
        span.setStatus({ code: loaded.api.SpanStatusCode.ERROR });
        throw error;
      } finally {
        release(request);
      }
    },
    async during(work) {
      const request = current.getStore();
      if (!request || !loaded) return work(() => {});
      const { api: { ROOT_CONTEXT, trace }, tracer } = loaded;
      const parent = trace.setSpan(ROOT_CONTEXT, request.span);
      request.open++;
      try {
        return await work((name, ms, attributes = {}, endedAt = performance.now()) => {
          const end = performance.timeOrigin + endedAt;
          tracer.startSpan(name, { startTime: end - ms, attributes }, parent).end(end);
        });
      } catch (error) {
        // The code, not the message: that may repeat what a client sent.
        request.span.setAttribute('error.type', isPenjingError(error) ? error.code : error instanceof Error ? error.name : 'unknown');
        throw error;
      } finally {
        release(request);
      }
    },
    async close() {
      await (await loading?.catch(() => undefined))?.shutdown();
    },
  };
}

const PEERS = '@opentelemetry/api @opentelemetry/resources@2 @opentelemetry/sdk-trace-base@2 @opentelemetry/exporter-trace-otlp-http@0.223';

async function openTelemetry({ endpoint, serviceName, share }: NonNullable<ServerConfig['traces']>): Promise<OpenTelemetry> {
  const [api, { resourceFromAttributes }, { BasicTracerProvider, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]).catch((cause: unknown) => {
    throw new PenjingError('E_PEER', 'traces need OpenTelemetry, which is not installed', { hint: `npm install ${PEERS}`, cause });
  });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    // A collector that is away must not take the server's memory: the queue is bounded, and what does not fit is dropped.
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint, timeoutMillis: SEND_MS }))],
  });
  return { api, tracer: provider.getTracer('penjing'), shutdown: () => provider.shutdown().catch(() => {}) };
}

/** One that is away is not waited for longer than this, retries and the end of the server included. */
const SEND_MS = 2_000;

/** W3C Trace Context, version 00. What is no trace begins a new one. */
function parentOf(header: string | undefined): Api.SpanContext | undefined {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header ?? '');
  if (!match || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined;
  return { traceId: match[1]!, spanId: match[2]!, traceFlags: Number.parseInt(match[3]!, 16) & 1, isRemote: true };
}

function traceparentOf({ traceId, spanId, traceFlags }: Api.SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
