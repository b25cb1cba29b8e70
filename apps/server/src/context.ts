/** What a route module gets, and what a request carries: the border between the server and its APIs. */
import type { Hono } from 'hono';
import type { Logger } from 'pino';
import type { ServerConfig, Scope } from './config/schema.js';
import type { Leaving } from './http/leaving.js';
import type { ModelRepository } from './models/repository.js';
import type { Metrics } from './operate/metrics.js';
import type { Tracing } from './operate/tracing.js';
import type { InferenceService } from './v2/inference.js';

/** See the README: this is a contract. */
export interface ServerContext {
  readonly config: ServerConfig;
  readonly models: ModelRepository;
  readonly metrics: Metrics;
  /** Tensors through any model, batched. */
  readonly inference: InferenceService;
  readonly tracing: Tracing;
  readonly logger: Logger;
  /** The server takes no new requests any more. */
  readonly draining: () => boolean;
}

/** Of each request, through `c.get(…)`. */
export interface RequestVariables {
  /** In the reply as X-Request-Id. */
  requestId: string;
  /** Fires when the client has left, its time is up, or the server ends by force. Made when it is first asked for: most requests need no more than `leaving`. */
  signal: () => AbortSignal;
  /** The same for who takes its listener off again, which a signal may leave to the collector. */
  leaving: Leaving;
  /** Says the request's id. */
  logger: () => Logger;
  /** Who asks: the name and scopes of the key; without keys, everybody may everything. */
  caller: { readonly name: string | undefined; readonly scopes: readonly Scope[] };
}

export type ServerApp = Hono<{ Variables: RequestVariables }>;

/** Adds routes. Paths, bodies and errors are checked as the README says. */
export type RouteModule = (app: ServerApp, context: ServerContext) => void;
