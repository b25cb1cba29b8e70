/** The application around the routes: request ids, logs, keys, errors. */
import { randomUUID } from 'node:crypto';
import { PenjingError } from '@penjing/core';
import { Hono } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { RequestVariables, RouteModule, ServerApp, ServerContext } from '../context.js';
import { authenticate } from './auth.js';
import { allowOrigins } from './cors.js';
import { errorReply } from './errors.js';
import { refuseForeignPages } from './foreign-pages.js';
import { exchangeOf } from './incoming.js';
import { isLocal } from './listen-policy.js';
import { RememberingRouter } from './remembering-router.js';
import { addHeaders } from './reply-headers.js';

/** What fires when the client has left, when its `X-Timeout-Ms` (an hour at most) is up, or when the server ends by force. */
function endOf(request: Request, stop: AbortSignal): Pick<RequestVariables, 'signal' | 'leaving'> {
  const header = request.headers.get('x-timeout-ms');
  const exchange = exchangeOf(request);
  // Our own listener cuts connections when the server ends by force. Joined signals are the dearest thing of a small request: 30 of 300 µs.
  if (header === null && exchange) return { signal: () => request.signal, leaving: exchange.leaving };
  const ms = header === null ? undefined : /^\d{1,7}$/.test(header) ? Number(header) : 0;
  if (ms !== undefined && (ms < 1 || ms > 3_600_000)) throw new PenjingError('E_REQUEST', 'X-Timeout-Ms must be an integer from 1 to 3600000');
  const signal = AbortSignal.any([request.signal, stop, ...(ms === undefined ? [] : [AbortSignal.timeout(ms)])]);
  return { signal: () => signal, leaving: signal };
}

const GIVEN_ID = /^[\w.:-]{1,128}$/;

/** Methods that a path has a route for; those of the page (`/NAME`) are for people who typed an address, and of middleware there are none. */
function methodsAt(app: ServerApp, path: string): string[] {
  return ['GET', 'POST'].filter((method) => app.router.match(method, path)[0].some(([[, route]]) => route.method === method && !route.path.startsWith('/:')));
}

export function createApp(modules: readonly RouteModule[], context: ServerContext, stop: AbortSignal): ServerApp {
  const { config, metrics, tracing, logger, draining } = context;
  const app: ServerApp = new Hono<{ Variables: RequestVariables }>({ strict: true, router: new RememberingRouter() });
  app.onError((error, c) => errorReply(c, error));
  app.notFound((c) => {
    const allowed = methodsAt(app, c.req.path);
    if (allowed.length === 0) return errorReply(c, new PenjingError('E_ROUTE', `there is nothing at ${c.req.method} of this path`));
    c.header('Allow', allowed.join(', '));
    return errorReply(c, new PenjingError('E_METHOD', `${c.req.method} is not for this path`, { hint: `Ask it with ${allowed.join(' or ')}.` }));
  });
  app.use(async (c, next) => {
    const started = performance.now();
    const given = c.req.header('x-request-id');
    const requestId = given !== undefined && GIVEN_ID.test(given) ? given : randomUUID();
    c.set('requestId', requestId);
    // Made when something is logged: at the level of errors that is hardly ever.
    c.set('logger', () => logger.child({ requestId }));
    const { signal, leaving } = endOf(c.req.raw, stop);
    c.set('signal', signal);
    c.set('leaving', leaving);
    await next();
    // After: a route may answer with a Response of its own, which knows nothing of headers that were set before.
    addHeaders(c, { 'X-Request-Id': requestId, ...(draining() && { Connection: 'close' }) });
    // The pattern, not the path: what clients make up must not become labels ('/*' where there is no route). The first of its own: the page, mounted last, matches what others have answered.
    const route = matchedRoutes(c).find(({ path }) => path !== '/*')?.path ?? '/*';
    const seconds = (performance.now() - started) / 1000;
    metrics.requests.inc({ route, method: c.req.method, status: c.res.status });
    metrics.requestSeconds.observe({ route }, seconds);
    if (logger.isLevelEnabled('info')) logger.info({ requestId, method: c.req.method, route, status: c.res.status, ms: Math.round(seconds * 1e4) / 10, caller: c.get('caller')?.name }, 'request');
  });
  if (tracing.middleware) app.use(tracing.middleware);
  // Before keys: a preflight carries none.
  if (config.cors.origins.length > 0) app.use(allowOrigins(config.cors.origins));
  if (config.keys.length === 0 && isLocal(config.host)) app.use(refuseForeignPages(config.cors.origins));
  app.use(authenticate(config));
  app.use((c, next) => {
    const probe = c.req.path === '/healthz' || c.req.path.startsWith('/v2/health/');
    if (draining() && !probe) throw new PenjingError('E_UNAVAILABLE', 'the server is ending', { details: { retryAfter: 1 } });
    return next();
  });
  for (const mount of modules) mount(app, context);
  return app;
}
