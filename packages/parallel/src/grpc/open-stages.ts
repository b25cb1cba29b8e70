/** The front of a pipeline over machines: its stages as an `Executor`, which takes the place of a device in any layout. */
import { randomUUID } from 'node:crypto';
import { type Executor, type Feeds, type Fetches, isPenjingError, PenjingError, type RunOptions } from '@penjing/core';
import { parseAddress, type StageSecurity } from './security.js';
import { keepAlive as defaultKeepAlive, type KeepAlive, stageLimits, type StageLimits } from './stage-limits.js';
import { StageLink, type StagePlace } from './stage-link.js';
import { isPassing, type StageCancels, type StageFacts } from './stage-protocol.js';

export interface StagesOptions extends StageSecurity {
  /** Address of the first stage; several are tried in turn; a function where it may change (it is asked at every try to connect). */
  readonly address: string | readonly string[] | ((turn: number) => StagePlace | undefined);
  /** Of the plan that the stages were started with. */
  readonly epoch: number;
  /** Outputs given when a run names none; all that the stages give when absent. */
  readonly outputs?: readonly string[];
  /** Sends a request again, once, when a stage was lost before it was answered: stages are pure functions. */
  readonly replay?: boolean;
  /** Milliseconds to wait for the stages, at first and before a request is sent again (30,000). */
  readonly waitMs?: number;
  /** Tells all stages at once of a request that was given up. */
  readonly cancels?: StageCancels | undefined;
  readonly limits?: Partial<StageLimits>;
  readonly keepAlive?: KeepAlive;
  readonly signal?: AbortSignal;
  /** Says that the stages take requests, or no longer do and why. */
  readonly onChange?: (state: StageFacts | PenjingError) => void;
}

export interface RemoteStages extends Executor {
  /** What the stages take and give, or why they take nothing now. */
  readonly state: StageFacts | PenjingError;
  /** Goes to where `address`, a function, now says that the first stage is, if it has moved. */
  reconnect(why: string): void;
}

/** Waits until the stages take requests. Throws `E_UNAVAILABLE` when they do not in time, `E_KEY` and `E_EPOCH` at once. */
export async function openStages(options: StagesOptions): Promise<RemoteStages> {
  const { address, epoch, replay = false, waitMs = 30_000, signal } = options;
  const addresses = typeof address === 'string' ? [address] : address;
  if (typeof addresses !== 'function') addresses.forEach(parseAddress);
  const link = new StageLink({
    ...(options.token !== undefined && { token: options.token }), ...(options.tls && { tls: options.tls }), ...(options.onChange && { onChange: options.onChange }),
    place: typeof addresses === 'function' ? addresses : (turn) => ({ address: addresses[turn % addresses.length]!, epoch }),
    limits: { ...stageLimits, ...options.limits }, keepAlive: options.keepAlive ?? defaultKeepAlive, backoff: { first: 100, longest: 3000 },
  });
  try {
    const facts = await ready(link, waitMs, signal);
    const names = options.outputs ?? facts.outputs.map(({ name }) => name);
    const outputs = names.map((name) => {
      const found = facts.outputs.find((output) => output.name === name);
      if (!found) throw new PenjingError('E_INPUT', `the stages give no ${name}`, { hint: `They give ${facts.outputs.map((output) => output.name).join(', ')}.` });
      return found;
    });
    return new Front(link, facts, outputs, { ...options, replay, waitMs });
  } catch (error) {
    link.close();
    throw error;
  }
}

type FrontOptions = Pick<StagesOptions, 'epoch' | 'cancels'> & Required<Pick<StagesOptions, 'replay' | 'waitMs'>>;

class Front implements RemoteStages {
  readonly inputs: Executor['inputs'];
  readonly outputs: Executor['outputs'];
  readonly #link: StageLink;
  readonly #options: FrontOptions;

  constructor(link: StageLink, { inputs }: StageFacts, outputs: Executor['outputs'], options: FrontOptions) {
    this.#link = link;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#options = options;
  }

  get state(): StageFacts | PenjingError {
    return this.#link.state;
  }

  reconnect(why: string): void {
    this.#link.reconnect(why);
  }

  async run(feeds: Feeds, { outputs, signal }: RunOptions = {}): Promise<Fetches> {
    signal?.throwIfAborted();
    const wanted = outputs ?? this.outputs.map(({ name }) => name);
    const unknown = Object.keys(feeds).find((name) => !this.inputs.some((input) => input.name === name));
    if (unknown !== undefined) throw new PenjingError('E_INPUT', `there is no input ${unknown}`, { hint: `The inputs are ${this.inputs.map(({ name }) => name).join(', ')}.` });
    const { epoch, cancels } = this.#options;
    if (!cancels) return this.#request(feeds, wanted, signal);
    const key = `${epoch}-${randomUUID()}`;
    const tell = (): void => cancels.tell(key);
    signal?.addEventListener('abort', tell, { once: true });
    try {
      return await this.#request(feeds, wanted, signal, key);
    } finally {
      signal?.removeEventListener('abort', tell);
    }
  }

  async #request(feeds: Feeds, wanted: readonly string[], signal?: AbortSignal, key?: string): Promise<Fetches> {
    const { replay, waitMs } = this.#options;
    for (let sent = 0; ; sent++) {
      if (replay) await ready(this.#link, waitMs, signal);
      try {
        return await this.#link.request(feeds, wanted, signal, key);
      } catch (error) {
        if (!replay || sent > 0 || !isPassing(error)) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#link.close();
  }
}

async function ready(link: StageLink, waitMs: number, signal: AbortSignal | undefined): Promise<StageFacts> {
  const time = AbortSignal.timeout(waitMs);
  try {
    return await link.whenReady(signal ? AbortSignal.any([signal, time]) : time);
  } catch (error) {
    if (time.aborted && !signal?.aborted && isPenjingError(link.state)) throw link.state;
    throw error;
  }
}
