/** The request of node:http behind a `Request` of our own listener: reading its body directly takes a fifth of the time that a web stream does. */
import type { IncomingMessage } from 'node:http';

const incomings = new WeakMap<Request, IncomingMessage>();

export function rememberIncoming(request: Request, incoming: IncomingMessage): void {
  incomings.set(request, incoming);
}

/** Undefined for a request that came by `fetch`, inside of another server. */
export function incomingOf(request: Request): IncomingMessage | undefined {
  return incomings.get(request);
}
