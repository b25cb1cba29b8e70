/** The server as a whole: models, applications, listeners, and an end that loses nothing. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { Logger } from 'pino';
import { parseConfig } from './config/read-config.js';
import type { ServerConfig, ServerOptions } from './config/schema.js';
import type { RouteModule, ServerContext } from './context.js';
import type { HostFactory } from './host/host.js';
import { processHost, threadHost } from './host/model-host.js';
import { createApp } from './http/app.js';
import { type Listener, listen } from './http/listener.js';
import { checkListening, isLocal } from './http/listen-policy.js';
import { checkPaths } from './models/check-paths.js';
import { type ModelWork, workOf } from './models/model-work.js';
import { ModelRepository } from './models/repository.js';
import { messageOf, type ServedModel } from './models/served-model.js';
import { folderShelf, namedShelf, shelves } from './models/shelf.js';
import { createLogger } from './operate/logger.js';
import { Metrics } from './operate/metrics.js';
import { createTracing } from './operate/tracing.js';
import { page } from './page/page-routes.js';
import { adminRoutes, routes } from './routes.js';
import { listenGrpc } from './v2/grpc/listener.js';
import { InferenceService } from './v2/inference.js';

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly url: string;
}

export interface PenjingServer extends AsyncDisposable {
  readonly config: ServerConfig;
  readonly models: ModelRepository;
  /** Answers a request without a socket; inside of other servers. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Looks whether what the configuration names is there; nothing is loaded. Throws `E_NOT_FOUND`. */
  check(): Promise<void>;
  /** Loads all models. Rejects with the first failure, the others go on. */
  load(): Promise<void>;
  /** Opens the sockets. Throws `E_LISTEN`, and `E_PUBLIC` for a public address without a key. */
  listen(): Promise<{ readonly main: Address; readonly admin: Address | undefined; readonly grpc: Address | undefined }>;
  /** Refuses what is new, lets what is in flight end within `drainMs`, ends the models. */
  close(): Promise<void>;
}

export interface Surroundings {
  readonly logger?: Logger;
  /** Further APIs of an embedder. */
  readonly routes?: readonly RouteModule[];
  /** The process is the server's alone: the global `Request` and `Response` are replaced by lighter ones, which are sent without a stream. */
  readonly ownsProcess?: boolean;
  /** Where models live, instead of what `isolation` says; for tests. */
  readonly createHost?: HostFactory;
}

/** Throws `E_CONFIG` naming the field that is wrong. Nothing is loaded and nothing listens yet. */
export function createServer(options: ServerOptions = {}, surroundings: Surroundings = {}): PenjingServer {
  const config = parseConfig(options);
  const logger = surroundings.logger ?? createLogger(config.log.level);
  const metrics = new Metrics();
  const tracing = createTracing(config.traces);
  let draining = false;
  const stop = new AbortController();
  const models: ModelRepository = new ModelRepository(shelves([namedShelf(config.models), ...(config.repository === undefined ? [] : [folderShelf(config.repository)])]), {
    createHost: surroundings.createHost ?? (config.isolation === 'process' ? processHost : threadHost),
    drainMs: config.drainMs,
    ladders: {
      pressure(model) {
        return { ...work(model), full: model.admission.full || inference.load(model).full };
      },
      onPick: ({ identity: { name }, variant }) => metrics.variantRequests.inc({ model: name, variant }),
      // Only a server with a ladder needs the runtime in its own process, and of it no more than where files lie.
      check: async ({ identity: { path, options: { variant } } }) => (await import('@penjing/runtime')).locateModel(path, variant),
      onFailure: ({ identity: { name, version }, variant }, error) => logger.warn({ model: name, version, variant, reason: messageOf(error), ...(isPenjingError(error) && error.hint !== undefined && { hint: error.hint }) }, 'a variant of the ladder cannot be loaded'),
    },
    onState: ({ identity: { name, version }, variant, state, reason }) => logger.info({ model: name, version, ...(variant !== undefined && { variant }), state, ...(reason !== '' && { reason }) }, 'model'),
  });
  const inference: InferenceService = new InferenceService(models, metrics, tracing);
  const work = (model: ServedModel): ModelWork => workOf(model, inference);
  metrics.watch(models, work);
  const context: ServerContext = { config, models, metrics, inference, tracing, logger, draining: () => draining };
  const together = !config.admin && isLocal(config.host);
  const app = createApp([...routes, ...(together ? adminRoutes : []), ...(surroundings.routes ?? []), page], context, stop.signal);
  const adminApp = config.admin && createApp([...routes, ...adminRoutes, page], context, stop.signal);
  const listeners: Listener[] = [];
  let closing: Promise<void> | undefined;

  const opened = (listener: Listener): Address => {
    listeners.push(listener);
    const { host, port } = listener;
    return { host, port, url: `${config.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}` };
  };
  const open = async (fetch: (request: Request) => Response | Promise<Response>, where: { readonly host: string; readonly port: number }): Promise<Address> => opened(await listen(fetch, where, { ...config, overrideGlobalObjects: surroundings.ownsProcess ?? false }));
  const end = async (): Promise<void> => {
    draining = true;
    const deadline = AbortSignal.timeout(config.drainMs);
    deadline.addEventListener('abort', () => stop.abort(new PenjingError('E_UNAVAILABLE', 'the server has ended')), { once: true });
    await Promise.all(listeners.map((listener) => listener.close(deadline)));
    await models.close();
    await tracing.close();
  };
  return {
    config,
    models,
    fetch: async (request) => app.fetch(request),
    check: () => checkPaths(config),
    async load() {
      await tracing.start();
      await models.loadAll();
    },
    async listen() {
      checkListening(config);
      await tracing.start();
      const main = await open(app.fetch, config);
      const admin = adminApp && config.admin ? await open(adminApp.fetch, config.admin) : undefined;
      return { main, admin, grpc: config.grpc && opened(await listenGrpc(context, config.grpc, stop.signal)) };
    },
    close: () => (closing ??= end()),
    [Symbol.asyncDispose]: () => (closing ??= end()),
  };
}
