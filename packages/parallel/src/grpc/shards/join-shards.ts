/** One shard of a model on several machines, beside the first one: it asks that for runs, and takes part in them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type DenseTensor, type Engine, type Executor, isPenjingError, PenjingError, toPlainError } from '@penjing/core';
import { type Part, runShard, type ShardExchange } from '../../tensor/shard-program.js';
import type { ShardedModel } from '../../tensor/sharded-model.js';
import { parseAddress, type StageSecurity } from '../security.js';
import { keepAlive as defaultKeepAlive, type KeepAlive, stageLimits, type StageLimits } from '../stage-limits.js';
import { StageLink, type StagePlace } from '../stage-link.js';
import { unavailable } from '../stage-protocol.js';
import { closeSegments, openSegments } from './segments.js';
import { denseOnes, feedsOf, numbered, shardPath, type ShardFeeds, unnumbered, wantedOf } from './shard-ask.js';
import { shardPart } from './shard-hub.js';

export interface JoinShardsOptions extends StageSecurity {
  readonly sharded: ShardedModel;
  /** From 1. */
  readonly shard: number;
  readonly engine: Engine;
  /** Of each segment. */
  readonly threads?: number;
  /** Address of the first shard; a function where it may change (it is asked at every try to connect). */
  readonly first: string | ((turn: number) => StagePlace | undefined);
  /** Of the plan. */
  readonly epoch: number;
  readonly limits?: Partial<StageLimits>;
  readonly keepAlive?: KeepAlive;
  readonly signal?: AbortSignal;
  /** Says that the shard waits for runs, or cannot and why. */
  readonly onChange?: (state: 'ready' | PenjingError) => void;
}

export interface JoinedShard extends AsyncDisposable {
  readonly state: 'ready' | PenjingError;
  /** Goes to where `first`, a function, now says that the first shard is, if it has moved. */
  findFirst(why: string): void;
}

/** What waiting may not mend (another plan, another token) is tried again after so long. */
const RETRY_MS = 2000;

/** Loads the segments of the shard, then looks for the first one until it is disposed of. Throws `E_OPTION` for a shard that the model does not have and an address that is none, and what loading throws. */
export async function joinShards(options: JoinShardsOptions): Promise<JoinedShard> {
  const { sharded, shard, engine, threads, signal, first } = options;
  if (!Number.isInteger(shard) || shard < 1 || shard >= sharded.shards) throw new PenjingError('E_OPTION', `shard ${shard} of ${sharded.shards}`, { hint: `Shards beside the first one are 1 to ${sharded.shards - 1}.` });
  if (typeof first === 'string') parseAddress(first);
  const executors = await openSegments(sharded.segments[shard]!, engine, { ...(threads !== undefined && { threads }), ...(signal && { signal }) });
  try {
    return new Member(options, executors);
  } catch (error) {
    await closeSegments(executors);
    throw error;
  }
}

class Member implements JoinedShard {
  readonly #options: JoinShardsOptions;
  readonly #executors: readonly Executor[];
  readonly #part: string;
  readonly #link: StageLink;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #state: 'ready' | PenjingError = unavailable('the first shard has not been reached yet');

  constructor(options: JoinShardsOptions, executors: readonly Executor[]) {
    const { first, epoch, shard, token, tls, limits, keepAlive = defaultKeepAlive } = options;
    this.#options = options;
    this.#executors = executors;
    this.#part = shardPart(options.sharded);
    this.#link = new StageLink({
      ...(token !== undefined && { token }), ...(tls && { tls }), path: shardPath(shard), place: typeof first === 'function' ? first : () => ({ address: first, epoch }),
      limits: { ...stageLimits, ...limits }, keepAlive, backoff: { first: 100, longest: 3000 },
      onChange: (state) => this.#tell(isPenjingError(state) ? state : this.#isOther(state.part) ? otherPart() : 'ready'),
    });
    this.#ended = this.#takePart();
  }

  get state(): 'ready' | PenjingError {
    return this.#state;
  }

  findFirst(why: string): void {
    this.#link.reconnect(why);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new PenjingError('E_DISPOSED', 'the shard was closed'));
    this.#link.close();
    await this.#ended;
    await closeSegments(this.#executors);
  }

  #isOther(part: string | undefined): boolean {
    return part !== this.#part;
  }

  #tell(state: 'ready' | PenjingError): void {
    this.#state = state;
    if (!this.#stop.signal.aborted) this.#options.onChange?.(state);
  }

  async #takePart(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#isOther((await this.#link.whenReady(signal)).part)) throw otherPart();
        await this.#run(feedsOf(await this.#link.request({}, wantedOf({ kind: 'feeds' }), signal), this.#options.sharded.inputs.length));
      } catch (error) {
        // A lost connection is looked after by the link, and `whenReady` waits for it.
        if (!signal.aborted && !(isPenjingError(error) && error.code === 'E_UNAVAILABLE')) await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => {});
      }
    }
  }

  /** What fails here, and a message that was too large or damaged, is told to the first shard; a run that others gave up is left. */
  async #run({ run, feeds, wanted }: ShardFeeds): Promise<void> {
    const { sharded: { program, inputs, outputs }, shard } = this.#options;
    const { signal } = this.#stop;
    const exchange = new MemberExchange(this.#link, run, signal);
    try {
      const values = Object.fromEntries(inputs.map(({ value }, i) => [value, feeds[i]!]));
      await runShard({ shard, program, outputs, executors: this.#executors, exchange, check: () => signal.throwIfAborted() }, values, wanted);
    } catch (error) {
      if (exchange.isOver || signal.aborted) return;
      await this.#link.request({}, wantedOf({ kind: 'failed', run, error: toPlainError(error, 'E_ENGINE') }), signal);
    }
  }
}

/** Asks the first shard what becomes of everyone's tensors. */
class MemberExchange implements ShardExchange {
  readonly #link: StageLink;
  readonly #run: number;
  readonly #signal: AbortSignal;
  #step = 0;
  /** The first shard has left the run, or is lost: nobody is to be told. */
  isOver = false;

  constructor(link: StageLink, run: number, signal: AbortSignal) {
    this.#link = link;
    this.#run = run;
    this.#signal = signal;
  }

  sum(terms: readonly DenseTensor[]): Promise<readonly DenseTensor[]> {
    return this.#ask('exchange', terms);
  }

  join(parts: readonly Part[], wanted = true): Promise<readonly DenseTensor[]> {
    return this.#ask(wanted ? 'exchange' : 'give', parts.map(({ tensor }) => tensor));
  }

  async #ask(kind: 'exchange' | 'give', tensors: readonly DenseTensor[]): Promise<readonly DenseTensor[]> {
    try {
      const values = await this.#link.request(numbered(tensors), wantedOf({ kind, run: this.#run, step: this.#step++ }), this.#signal);
      return denseOnes(unnumbered(values, kind === 'give' ? 0 : tensors.length));
    } catch (error) {
      this.isOver = isPenjingError(error) && (error.code === 'E_PEER' || error.code === 'E_UNAVAILABLE');
      throw error;
    }
  }
}

function otherPart(): PenjingError {
  return new PenjingError('E_PLAN', 'the first shard has cut the model in another way', { hint: 'Give all machines the same model, plan and version of Penjing.' });
}
