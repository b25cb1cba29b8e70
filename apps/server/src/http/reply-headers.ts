/** Headers on a reply that is there already, whoever made it. */
import type { Context } from 'hono';
import { exchangeOf } from './incoming.js';

/** Not by `c.header`: that makes a stream of the body. */
export function addHeaders(c: Context, headers: Readonly<Record<string, string>>): void {
  // Our own listener sends when all that handles a request is done, and node:http puts these beside those of the reply.
  const outgoing = exchangeOf(c.req.raw)?.outgoing;
  if (outgoing) for (const [name, value] of Object.entries(headers)) outgoing.setHeader(name, value);
  else addToResponse(c, headers);
}

/** What `fetch` and `Response.redirect` give cannot be written, and is copied. */
function addToResponse(c: Context, headers: Readonly<Record<string, string>>): void {
  const write = (): void => {
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
  };
  try {
    write();
  } catch {
    c.res = new Response(c.res.body, c.res);
    write();
  }
}
