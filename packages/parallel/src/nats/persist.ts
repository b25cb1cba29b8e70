/** Calls of a server that may be away. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/nats-core';
import { PenjingError, untilAborted } from '@penjing/core';
import { isPassing } from './connect.js';

/** Throws the reason of the signal when it fires. */
export type Persist = <T>(call: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

/** Tries again for as long as the server is away, so that what was computed is not lost with it, and until `closed` fires. */
export function persistOn(connection: NatsConnection, closed: AbortSignal): Persist {
  setMaxListeners(0, closed);
  return async (call, signal) => {
    // Hundreds of calls wait at a time and let go of the signal when they end; from 11 on Node would warn.
    if (signal) setMaxListeners(0, signal);
    for (let wait = 100; ; wait = Math.min(2_000, wait * 2)) {
      signal?.throwIfAborted();
      closed.throwIfAborted();
      try {
        return await untilAborted(call(), signal, closed);
      } catch (error) {
        if (signal?.aborted || closed.aborted) throw error;
        if (connection.isClosed()) throw new PenjingError('E_BROKER', 'the connection to the NATS server was closed', { cause: error });
        if (!isPassing(error)) throw error;
      }
      await untilAborted(sleep(wait, undefined, { ref: false }), signal, closed);
    }
  };
}
