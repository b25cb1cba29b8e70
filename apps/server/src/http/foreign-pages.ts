/** A page of another origin must not reach a server on this machine through a name that its DNS gives to 127.0.0.1, nor by a form. */
import { PenjingError } from '@penjing/core';
import type { MiddlewareHandler } from 'hono';

const LOCAL = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/** For servers without keys that listen locally: the Host must be local, and an Origin, where there is one, this server's own or an allowed one. */
export function refuseForeignPages(origins: readonly string[]): MiddlewareHandler {
  return (c, next) => {
    const { url } = c.req;
    // A request may name a host in its target too, and that one counts (RFC 9112). Mostly it is the same, which is told without taking the URL apart.
    const named = c.req.header('host');
    const asked = named !== undefined && url.startsWith(`http://${named}/`) ? named : new URL(url).host;
    const host = named ?? asked;
    if (!LOCAL.test(host) || !LOCAL.test(asked)) throw new PenjingError('E_SCOPE', 'this server answers to local names only', { hint: 'Ask it as 127.0.0.1 or localhost, or give it a key (PENJING_API_KEY).' });
    const origin = c.req.header('origin');
    if (origin !== undefined && !origins.includes('*') && !origins.includes(origin) && origin.replace(/^https?:\/\//, '') !== host) {
      throw new PenjingError('E_SCOPE', 'pages of this origin are not allowed', { hint: 'Allow it: cors.origins.' });
    }
    return next();
  };
}
