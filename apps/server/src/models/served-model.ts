/** One version of a model: loaded, kept alive, replaced and unloaded without losing what is in flight. */
import { PenjingError } from '@penjing/core';
import type { ModelOptions } from '../config/schema.js';
import type { Host, HostCallOptions, HostFactory, HostHealth } from '../host/host.js';
import type { HostMethod, HostMethods, ModelDescription, ModelSource } from '../host/protocol.js';
import { Admission } from './admission.js';
import { type BackoffOptions, createBackoff, type Backoff } from './backoff.js';

export type ModelState = 'LOADING' | 'READY' | 'UNAVAILABLE';

export interface ModelIdentity {
  readonly name: string;
  /** A number, as a text. */
  readonly version: string;
  readonly path: string;
  readonly options: ModelOptions;
  /** Which variant of a ladder it is. */
  readonly rung?: { readonly variant: string; readonly loss: number | undefined };
}

export interface ModelEvents {
  /** Told at each change of state. */
  readonly onState?: (model: ServedModel) => void;
}

export interface ServedModelOptions extends ModelEvents {
  readonly createHost: HostFactory;
  readonly backoff?: BackoffOptions;
  /** How long what is in flight on a place that was replaced or unloaded may go on. */
  readonly drainMs: number;
}

/** A host that has lived so long did not die of how it was loaded. */
const STEADY_MS = 60_000;

export class ServedModel {
  readonly identity: ModelIdentity;
  readonly admission: Admission;
  readonly #options: ServedModelOptions;
  readonly #backoff: Backoff;
  #state: ModelState = 'UNAVAILABLE';
  #reason = 'not loaded';
  #description: ModelDescription | undefined;
  #host: Host | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restarts = 0;
  #wanted = false;
  readonly #retiring = new Set<Promise<void>>();

  constructor(identity: ModelIdentity, options: ServedModelOptions) {
    this.identity = identity;
    this.admission = new Admission(identity.options);
    this.#options = options;
    this.#backoff = createBackoff(options.backoff);
  }

  /** What replies call it, where a model has several variants. */
  get variant(): string | undefined {
    return this.identity.rung?.variant;
  }

  get state(): ModelState {
    return this.#state;
  }

  /** Why it is not ready; empty when it is. */
  get reason(): string {
    return this.#reason;
  }

  /** Present as soon as it has been loaded once. */
  get description(): ModelDescription | undefined {
    return this.#description;
  }

  /** It shall be ready: what was unloaded need not be. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** How often it was started again after its process had died. */
  get restarts(): number {
    return this.#restarts;
  }

  health(): HostHealth | undefined {
    return this.#host?.health();
  }

  /** Loads it into a new place; the one before answers until the new one is ready, and then ends with what it has in flight. Throws what the load throws; a model that was ready stays so. */
  async load(signal?: AbortSignal): Promise<ModelDescription> {
    this.#wanted = true;
    clearTimeout(this.#restart);
    if (!this.#host) this.#become('LOADING', 'it is being loaded');
    let host: Host | undefined;
    try {
      host = this.#options.createHost(this.identity.name);
      const description = await host.load(sourceOf(this.identity), { ...(signal && { signal }) });
      if (!this.#wanted) throw new PenjingError('E_DISPOSED', `model ${this.identity.name} was unloaded while it was being loaded`);
      const before = this.#host;
      this.#host = host;
      this.#description = description;
      this.#watch(host);
      this.#become('READY', '');
      if (before) this.#retire(before);
      return description;
    } catch (error) {
      void host?.close({ graceMs: 1_000 });
      if (!this.#host) this.#become('UNAVAILABLE', messageOf(error));
      throw error;
    }
  }

  /** Throws `E_UNAVAILABLE` when it is not ready, `E_MODEL_LOST` when its process dies during the call. */
  call<M extends HostMethod>(method: M, params: HostMethods[M]['params'], options: HostCallOptions<M> = {}): Promise<HostMethods[M]['result']> {
    if (!this.#host) return Promise.reject(new PenjingError('E_UNAVAILABLE', `model ${this.identity.name} is not ready: ${this.#reason}`, { hint: 'Ask again in a moment; /v2/health/ready tells when.', details: { retryAfter: 1 } }));
    return this.#host.call(method, params, options);
  }

  /** Takes nothing new, waits for what is in flight, and ends its place. */
  async unload(reason = 'it was unloaded'): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restart);
    const host = this.#host;
    this.#host = undefined;
    this.#become('UNAVAILABLE', reason);
    if (host) this.#retire(host);
    await Promise.all(this.#retiring);
  }

  #watch(host: Host): void {
    const steady = setTimeout(() => this.#backoff.reset(), STEADY_MS).unref();
    void host.ended.then((lost) => {
      clearTimeout(steady);
      if (!lost || this.#host !== host) return;
      this.#host = undefined;
      this.#become('UNAVAILABLE', lost.message);
      this.#startAgain();
    });
  }

  #startAgain(): void {
    this.#restart = setTimeout(() => {
      this.#restarts++;
      // A failure is told by the state; the next attempt comes later.
      this.load().catch(() => this.#wanted && !this.#host && this.#startAgain());
    }, this.#backoff.next());
    this.#restart.unref();
  }

  #retire(host: Host): void {
    const retired = emptied(host, this.#options.drainMs).then(() => host.close());
    this.#retiring.add(retired);
    void retired.finally(() => this.#retiring.delete(retired));
  }

  #become(state: ModelState, reason: string): void {
    this.#state = state;
    this.#reason = reason;
    this.#options.onState?.(this);
  }
}

function sourceOf({ path, options: { task, variant, threads, device, prefixCacheBytes, kvCache, stages, plan } }: ModelIdentity): ModelSource {
  return { path, task, variant, threads, device, prefixCacheBytes, kvCache, stages, plan };
}

/** Until nothing is in flight, or the time is up. */
async function emptied(host: Host, withinMs: number): Promise<void> {
  const until = performance.now() + withinMs;
  while (host.health().state === 'ready' && host.health().inFlight > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
