/** Where a model lives: a process or a thread of its own, behind one interface. */
import type { PenjingError } from '@penjing/core';
import type { Leaving } from '../http/leaving.js';
import type { HostMemory, HostMethod, HostMethods, ModelDescription, ModelSource } from './protocol.js';

export interface HostCallOptions<M extends HostMethod> {
  /** Rejects the call at once with the signal's reason; the model stops at its next token or run. */
  readonly signal?: Leaving | undefined;
  readonly onEvent?: ((event: HostMethods[M]['event']) => void) | undefined;
}

export interface HostHealth {
  readonly state: 'empty' | 'loading' | 'ready' | 'ended';
  /** Calls that have not settled. */
  readonly inFlight: number;
  /** Of a process; a thread has none of its own. */
  readonly pid: number | undefined;
  /** As the host told it last. */
  readonly memory: HostMemory | undefined;
}

/**
 * One model in a place of its own. A host that has ended, by whatever cause, rejects its calls in flight at once with `E_MODEL_LOST` (or `E_DISPOSED` when it was closed) and stays ended: who
 * wants the model back makes a new host.
 */
export interface Host extends AsyncDisposable {
  /** Opens the model; once. */
  load(source: ModelSource, options?: { readonly signal?: AbortSignal }): Promise<ModelDescription>;
  call<M extends HostMethod>(method: M, params: HostMethods[M]['params'], options?: HostCallOptions<M>): Promise<HostMethods[M]['result']>;
  health(): HostHealth;
  /** Resolves when the place is gone: with why, unless it was closed. */
  readonly ended: Promise<PenjingError | undefined>;
  /** Lets nothing begin, rejects what is in flight, and ends the place; by force after `graceMs` (5,000). */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

export type HostFactory = (name: string) => Host;
