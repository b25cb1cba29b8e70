/** Who may do what: one place, before every route; what is not open needs a key. */
import { PenjingError } from '@penjing/core';
import type { MiddlewareHandler } from 'hono';
import type { Scope, ServerConfig } from '../config/schema.js';
import type { RequestVariables } from '../context.js';
import { keyRing } from './api-keys.js';

/** Probes say one word; the page is the same for everybody and asks for the key itself. GET and HEAD only, compared as they are routed. */
const OPEN: ReadonlySet<string> = new Set(['/', '/healthz', '/v2/health/live', '/v2/health/ready']);
const OPEN_FOLDER = '/ui/';

/** Scopes by path; the first that fits, and 'infer' for the rest. */
const scopes: readonly (readonly [pattern: RegExp, scope: Scope])[] = [
  [/^\/metrics$/, 'metrics'],
  [/^\/v2\/repository\/models\//, 'admin'],
  [/^\/admin\//, 'admin'],
];

export function scopeOf(path: string): Scope {
  return scopes.find(([pattern]) => pattern.test(path))?.[1] ?? 'infer';
}

const EVERYTHING: readonly Scope[] = ['infer', 'admin', 'metrics'];

export function authenticate({ keys }: Pick<ServerConfig, 'keys'>): MiddlewareHandler<{ Variables: RequestVariables }> {
  const callerOf = keyRing(keys);
  return (c, next) => {
    const { path, method } = c.req;
    const reading = method === 'GET' || method === 'HEAD';
    const open = reading && (OPEN.has(path) || path.startsWith(OPEN_FOLDER));
    if (keys.length === 0) c.set('caller', { name: undefined, scopes: EVERYTHING });
    else if (open) c.set('caller', { name: undefined, scopes: [] });
    else {
      const presented = /^bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? c.req.header('x-api-key');
      const caller = presented === undefined ? undefined : callerOf(presented);
      if (!caller) throw new PenjingError('E_KEY', presented === undefined ? 'an API key is needed' : 'the API key is not known', { hint: 'Send it as Authorization: Bearer KEY.' });
      const scope = scopeOf(path);
      if (!caller.scopes.includes(scope)) throw new PenjingError('E_SCOPE', `the API key is not for ${scope}`);
      c.set('caller', caller);
    }
    return next();
  };
}
