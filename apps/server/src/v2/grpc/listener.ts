/** The gRPC side of the V2 protocol: the same models, queues and errors as over HTTP. */
import { setMaxListeners } from 'node:events';
import { type sendUnaryData, Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type ServiceDefinition, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { PenjingError } from '@penjing/core';
import { GRPC_INFER_PATH, GRPC_STREAM_INFER_PATH, decodeGrpcInferRequest, encodeGrpcInferResponse, type GrpcInferRequest, type GrpcMethod, grpcMethods, refusedGrpcMethods, repositoryParametersFrom } from '@penjing/graph-io/v2';
import type { Scope } from '../../config/schema.js';
import type { ServerContext } from '../../context.js';
import { readCertificates, type Listener } from '../../http/listener.js';
import { variantHeader } from '../../http/variant-header.js';
import type { Inference } from '../inference.js';
import { checkRepositoryParameters, indexOf } from '../repository.js';
import { serverMetadata } from '../server-metadata.js';
import { configOf, metadataOf } from '../signature.js';
import { type AnyCall, type CallContext, createGate } from './call.js';
import { checkHealth, HEALTH_PATH } from './health.js';
import { grpcError } from './status.js';
import { AT_ONCE, serveStream } from './stream.js';

/** Bytes in, bytes out: messages are read here, so that what is wrong with them is said by its own code and not as INTERNAL. */
type Unary = (bytes: Uint8Array, call: CallContext) => Uint8Array | Promise<Uint8Array>;

interface Handler {
  readonly scope: Scope | 'open';
  readonly answer: Unary;
}

/** Listens for gRPC. Throws `E_LISTEN`. */
export async function listenGrpc(context: ServerContext, { host, port }: { readonly host: string; readonly port: number }, stop: AbortSignal): Promise<Listener> {
  const { config: { limits, tls } } = context;
  // One stream more than a connection may have would be queued by the client, not by us.
  const server = new Server({ 'grpc.max_receive_message_length': limits.bodyBytes, 'grpc.max_send_message_length': -1, 'grpc.max_metadata_size': limits.headerBytes, 'grpc.max_concurrent_streams': 1024 });
  const { definition, implementation } = serviceOf(context, stop);
  server.addService(definition, implementation);
  const certificates = tls && (await readCertificates(tls));
  const credentials = certificates ? ServerCredentials.createSsl(null, [{ cert_chain: certificates.cert, private_key: certificates.key }]) : ServerCredentials.createInsecure();
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host.includes(':') ? `[${host}]` : host}:${port}`, credentials, (cause, found) => (cause ? reject(new PenjingError('E_LISTEN', `cannot listen for gRPC on ${host}:${port}: ${cause.message}`, { cause, hint: 'Choose another port.' })) : resolve(found)));
  });
  return {
    host, port: bound,
    close: (deadline) => new Promise((resolve) => {
      const cut = (): void => server.forceShutdown();
      server.tryShutdown(() => {
        deadline.removeEventListener('abort', cut);
        resolve();
      });
      if (deadline.aborted) cut();
      else deadline.addEventListener('abort', cut, { once: true });
    }),
  };
}

function serviceOf(context: ServerContext, stop: AbortSignal): { definition: ServiceDefinition; implementation: UntypedServiceImplementation } {
  const gate = createGate(context, stop);
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  const same = (bytes: Buffer): Buffer => bytes;
  const add = (path: string, stream: boolean, handler: UntypedServiceImplementation[string]): void => {
    definition[path] = { path, requestStream: stream, responseStream: stream, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
    implementation[path] = handler;
  };
  const counted = (call: AnyCall, started: number, code: string): void => {
    const route = call.getPath();
    context.metrics.requests.inc({ route, method: 'gRPC', status: code });
    context.metrics.requestSeconds.observe({ route }, (performance.now() - started) / 1000);
  };
  for (const [path, { scope, answer }] of Object.entries(unaryHandlers(context))) {
    add(path, false, (call: ServerUnaryCall<Buffer, Buffer>, send: sendUnaryData<Buffer>) => {
      const started = performance.now();
      void (async () => {
        try {
          const [traceparent] = call.metadata.get('traceparent');
          const traced = { path: call.getPath(), traceparent: typeof traceparent === 'string' ? traceparent : undefined, statusOf: (error: unknown) => grpcError(error).code };
          const one = gate(call, scope);
          const bytes = await context.tracing.call(traced, async () => answer(call.request, one));
          if (Object.keys(one.headers.getMap()).length > 0) call.sendMetadata(one.headers);
          send(null, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
          counted(call, started, 'OK');
        } catch (error) {
          const failure = grpcError(error);
          if (failure.code === status.INTERNAL) context.logger.error({ method: call.getPath(), error: error instanceof Error ? error.stack : String(error) }, 'request failed');
          send(failure);
          counted(call, started, String(failure.code));
        }
      })();
    });
  }
  add(GRPC_STREAM_INFER_PATH, true, (call: ServerDuplexStream<Buffer, Buffer>) => {
    try {
      const one = gate(call, 'infer');
      setMaxListeners(AT_ONCE + 1, one.signal); // one for each request under way
      serveStream(call, async (request) => ({ response: (await infer(context, request, { ...one, timeoutMs: undefined })).response, raw: request.raw }));
    } catch (error) {
      call.emit('error', grpcError(error));
    }
  });
  return { definition, implementation };
}

function unaryHandlers(context: ServerContext): Readonly<Record<string, Handler>> {
  const { models, inference, draining } = context;
  const ready = (): boolean => !draining() && models.ready;
  const versionOf = (version: string | undefined): string | undefined => (version === '' ? undefined : version);
  const modelOf = ({ name = '', version }: { name?: string; version?: string }): ReturnType<typeof models.get> => models.get(name, versionOf(version));
  const describedOf = (message: { name?: string; version?: string }): readonly [ReturnType<typeof models.get>, NonNullable<ReturnType<typeof models.get>['description']>] => {
    const model = modelOf(message);
    if (!model.description) throw new PenjingError('E_UNAVAILABLE', `model ${model.identity.name} has not been loaded: ${model.reason}`, { details: { retryAfter: 1 } });
    return [model, model.description];
  };
  const of = <Q, R>({ path, request, response }: GrpcMethod<Q, R>, scope: Scope | 'open', answer: (message: Q) => R | Promise<R>): Record<string, Handler> => ({
    [path]: { scope, answer: async (bytes) => response.encode(await answer(request.decode(bytes))) },
  });
  const control = (verb: 'load' | 'unload') => async ({ modelName = '', parameters }: Parameters<typeof grpcMethods.repositoryModelLoad.request.encode>[0]): Promise<object> => {
    checkRepositoryParameters(repositoryParametersFrom(parameters, `the ${verb}`));
    await models[verb](modelName);
    return {};
  };
  return {
    ...of(grpcMethods.serverLive, 'open', () => ({ live: true })),
    ...of(grpcMethods.serverReady, 'open', () => ({ ready: ready() })),
    ...of(grpcMethods.serverMetadata, 'infer', () => serverMetadata),
    ...of(grpcMethods.modelReady, 'infer', (message) => ({ ready: modelOf(message).state === 'READY' })),
    ...of(grpcMethods.modelMetadata, 'infer', (message) => {
      const [model, description] = describedOf(message);
      return metadataOf(model.identity.name, models.list().filter(({ identity }) => identity.name === model.identity.name).map(({ identity }) => identity.version), description);
    }),
    ...of(grpcMethods.modelConfig, 'infer', (message) => {
      const [model, description] = describedOf(message);
      return { config: configOf(model.identity.name, description, inference.policyOf(model)) };
    }),
    ...of(grpcMethods.modelStatistics, 'infer', ({ name = '', version }) => {
      const found = models.list().filter(({ identity }) => (name === '' || identity.name === name) && (!version || identity.version === version));
      if (found.length === 0 && name !== '') models.get(name, versionOf(version));
      return { modelStats: found.map((model) => inference.statistics(model)) };
    }),
    ...of(grpcMethods.repositoryIndex, 'infer', async ({ ready: only = false }) => ({ models: indexOf(await models.index(), only) })),
    ...of(grpcMethods.repositoryModelLoad, 'admin', control('load')),
    ...of(grpcMethods.repositoryModelUnload, 'admin', control('unload')),
    [GRPC_INFER_PATH]: {
      scope: 'infer',
      answer: async (bytes, call) => {
        const request = decodeGrpcInferRequest(bytes);
        return encodeGrpcInferResponse((await infer(context, request, call)).response, { raw: request.raw });
      },
    },
    [HEALTH_PATH]: { scope: 'open', answer: (bytes) => checkHealth(bytes, ready()) },
    ...Object.fromEntries(refusedGrpcMethods.map((path): [string, Handler] => [path, { scope: 'admin', answer: () => {
      throw new PenjingError('E_UNSUPPORTED', 'this method is not served', { hint: 'Shared memory, traces and log settings are not opened to clients.' });
    } }])),
  };
}

function infer({ inference }: ServerContext, request: GrpcInferRequest, { signal, timeoutMs, caller, headers }: CallContext): Promise<Inference> {
  const model = inference.model(request.modelName ?? '', request.modelVersion);
  for (const [name, value] of Object.entries(variantHeader(model))) headers.set(name, value);
  return inference.infer(model, request, { signal, timeoutMs, client: caller.name });
}
