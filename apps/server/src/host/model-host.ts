/** A host over a channel: calls with an end for each, whatever becomes of the other side. */
import { fromPlainError, PenjingError } from '@penjing/core';
import type { Leaving } from '../http/leaving.js';
import type { Channel } from './channel.js';
import type { Host, HostCallOptions, HostHealth } from './host.js';
import { processChannel } from './process-channel.js';
import type { FromModel, HostMemory, HostMethod, HostMethods, ModelDescription, ModelSource, ToModel } from './protocol.js';
import { threadChannel } from './thread-channel.js';

const GRACE_MS = 5_000;

/** A host in a child process, or a thread. `name` is for those who look at a list of processes. */
export const processHost = (name: string): Host => hostOver(name, processChannel(name));
export const threadHost = (name: string): Host => hostOver(name, threadChannel(name));
export const hostOver = (name: string, channel: Channel): Host => new ModelHost(name, channel);

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
}

class ModelHost implements Host {
  readonly ended: Promise<PenjingError | undefined>;
  readonly #name: string;
  readonly #channel: Channel;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #state: HostHealth['state'] = 'empty';
  #memory: HostMemory | undefined;
  #closing = false;
  #failure: PenjingError | undefined;

  constructor(name: string, channel: Channel) {
    this.#name = name;
    this.#channel = channel;
    channel.onMessage((message) => this.#settle(message));
    this.ended = new Promise((resolve) => {
      channel.onEnd((how) => {
        this.#state = 'ended';
        const lost = this.#closing ? undefined : new PenjingError('E_MODEL_LOST', `the process of model ${name} is gone: ${how}`, { hint: 'It is started again; ask again in a moment.' });
        this.#failAll(lost ?? this.#closed());
        resolve(lost);
      });
    });
  }

  async load(source: ModelSource, { signal }: { readonly signal?: AbortSignal } = {}): Promise<ModelDescription> {
    if (this.#state === 'empty') this.#state = 'loading';
    const description = (await this.#ask((id) => ({ id, open: source }), { signal })) as ModelDescription;
    if (this.#state === 'loading') this.#state = 'ready';
    return description;
  }

  call<M extends HostMethod>(method: M, params: HostMethods[M]['params'], options: HostCallOptions<M> = {}): Promise<HostMethods[M]['result']> {
    return this.#ask((id) => ({ id, method, params }), options as { readonly signal?: Leaving; readonly onEvent?: (event: unknown) => void }) as Promise<HostMethods[M]['result']>;
  }

  health(): HostHealth {
    return { state: this.#state, inFlight: this.#pending.size, pid: this.#channel.pid, memory: this.#memory };
  }

  async close({ graceMs = GRACE_MS }: { readonly graceMs?: number } = {}): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#failAll(this.#closed());
      this.#channel.post({ shutdown: true });
    }
    const timer = setTimeout(() => this.#channel.kill(), graceMs);
    await this.ended;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ask(message: (id: number) => ToModel, { signal, onEvent }: { readonly signal?: Leaving | undefined; readonly onEvent?: ((event: unknown) => void) | undefined }): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#channel.post({ cancel: id });
        this.#pending.get(id)?.reject(signal!.reason);
      };
      const settled = <T>(then: (value: T) => void) => (value: T): void => {
        signal?.removeEventListener('abort', abort);
        if (this.#pending.delete(id)) then(value);
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#pending.set(id, { resolve: settled(resolve), reject: settled(reject), onEvent });
      try {
        this.#channel.post(message(id));
      } catch (error) {
        // What cannot be sent is never answered.
        this.#pending.get(id)?.reject(error);
      }
    });
  }

  #settle(message: FromModel): void {
    if ('memory' in message) {
      this.#memory = message.memory;
      return;
    }
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ('event' in message) pending.onEvent?.(message.event);
    else if ('error' in message) pending.reject(fromPlainError(message.error));
    else pending.resolve(message.result);
  }

  #closed(): PenjingError {
    return new PenjingError('E_DISPOSED', `model ${this.#name} was unloaded`);
  }

  #failAll(error: PenjingError): void {
    this.#failure ??= error;
    for (const { reject } of [...this.#pending.values()]) reject(error);
  }
}
