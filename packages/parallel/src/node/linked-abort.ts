/** A signal for the parts of one run: fires with that of the caller, and when one of them failed. */
import { setMaxListeners } from 'node:events';
import { PenjingError } from '@penjing/core';

export interface LinkedAbort {
  readonly signal: AbortSignal;
  /** Ends what is still under way, saying what has failed. */
  readonly end: (what: string) => void;
}

export function linkedAbort(given: AbortSignal | undefined): LinkedAbort {
  const ended = new AbortController();
  const signal = given ? AbortSignal.any([given, ended.signal]) : ended.signal;
  // All parts listen to it; Node would warn of a leak from the eleventh on.
  setMaxListeners(0, signal);
  return { signal, end: (what) => ended.abort(new PenjingError('E_CANCELLED', `${what} failed`)) };
}
