/** Headers on a reply that is there already, whoever made it. */
import type { Context } from 'hono';

/** Not by `c.header`: that makes a stream of the body. What `fetch` and `Response.redirect` give cannot be written, and is copied. */
export function addHeaders(c: Context, headers: Readonly<Record<string, string>>): void {
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
