/** Request and reply of node:http behind a `Request` of our own listener: reading a body directly takes a fifth of the time that a web stream does, and headers of the reply need no `Headers`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Leaving } from './leaving.js';

export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Fires when the connection is gone. */
  readonly leaving: Leaving;
}

/** On the request itself: a WeakMap with an entry for each of thousands of requests a second is walked by every collection. */
const EXCHANGE = Symbol('exchange');

type Carrying = Request & { [EXCHANGE]?: Exchange };

export function rememberExchange(request: Carrying, exchange: Exchange): void {
  request[EXCHANGE] = exchange;
}

/** Undefined for a request that came by `fetch`, inside of another server. */
export function exchangeOf(request: Carrying): Exchange | undefined {
  return request[EXCHANGE];
}
