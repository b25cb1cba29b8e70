/** Pages of other origins: those that are named, and no others. */
import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';

const EXPOSED = ['X-Request-Id', 'Retry-After', 'Server-Timing', 'Inference-Header-Content-Length', 'X-Penjing-Variant', 'traceparent'];

export function allowOrigins(origins: readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    allowHeaders: ['Authorization', 'Content-Type', 'X-Api-Key', 'X-Request-Id', 'X-Timeout-Ms', 'Inference-Header-Content-Length', 'traceparent'],
    allowMethods: ['GET', 'HEAD', 'POST'],
    exposeHeaders: EXPOSED,
    maxAge: 600,
  });
}
