/** One stage of a pipeline over machines: an executor behind a gRPC stream, and the way to the stage after it. */
import { Server, status } from '@grpc/grpc-js';
import { type Executor, type Feeds, type Fetches, isPenjingError, PenjingError, type ValueInfo } from '@penjing/core';
import { widenConnections, widenStreams } from './receive-window.js';
import { checkExposure, checkToken, formatAddress, parseAddress, serverCredentials, type StageSecurity } from './security.js';
import { HEAD_BYTES, keepAlive as defaultKeepAlive, type KeepAlive, stageLimits, type StageLimits } from './stage-limits.js';
import { StageLink, type StagePlace } from './stage-link.js';
import { STAGE_PATH, type StageCancels, type StageFacts, unavailable } from './stage-protocol.js';
import { StageStream, type StageCall } from './stage-stream.js';
import { shardPath } from './shards/shard-ask.js';
import type { ShardHub } from './shards/shard-hub.js';
import { Turns } from '../jobs/turns.js';

export interface StageOptions extends StageSecurity {
  /** What the stage computes. Called again when it lost its thread or process (`E_WORKER`). */
  readonly open: (signal: AbortSignal) => Promise<Executor>;
  /** `HOST:PORT`; port 0 takes a free one. */
  readonly listen: string;
  /** Address of the next stage; absent in the last one. A function where it may change (it is asked at every try to connect). */
  readonly next?: string | ((turn: number) => StagePlace | undefined);
  /** Of the plan: frames and streams of another one are refused. */
  readonly epoch: number;
  /** Hash of what the stage computes; its clients are told. */
  readonly part?: string;
  /** Outputs of this stage that are outputs of the whole; those that no later stage takes when absent. */
  readonly results?: readonly string[];
  /** Tells of requests that were given up, at once. */
  readonly cancels?: StageCancels | undefined;
  /** Where the other shards of the stage find this one; the stage takes requests while all are there. */
  readonly shards?: ShardHub;
  /** Runs of the executor at a time: more than 1 where it has replicas. */
  readonly parallel?: number;
  readonly limits?: Partial<StageLimits>;
  readonly keepAlive?: KeepAlive;
  /** Listens on an address that others can reach with neither token nor certificates. */
  readonly force?: boolean;
  /** Milliseconds that requests under way have to end when the stage is disposed of (5000). */
  readonly graceMs?: number;
  readonly signal?: AbortSignal;
  /** Says that the stage takes requests, or no longer does and why. */
  readonly onChange?: (state: StageFacts | PenjingError) => void;
}

export interface Stage extends AsyncDisposable {
  readonly address: string;
  /** What the stages from here on take and give, or why they take nothing. */
  readonly state: StageFacts | PenjingError;
  /** Requests taken in and not answered, of all streams. */
  readonly underWay: number;
  /** Goes to where `next`, a function, now says that the next stage is, if it has moved. */
  findNext(why: string): void;
}

/** Path of gRPC's own health check, which probes of Kubernetes call; it says only whether the stage takes requests. */
const HEALTH_PATH = '/grpc.health.v1.Health/Check';

/** Opens the executor, listens, and connects to the next stage. Throws `E_LISTEN`, `E_OPTION`, and what `open` throws. */
export async function serveStage(options: StageOptions): Promise<Stage> {
  const { host, port } = parseAddress(options.listen);
  checkExposure(host, options, options.force ?? false);
  if (typeof options.next === 'string') parseAddress(options.next);
  const executor = await options.open(options.signal ?? new AbortController().signal);
  let stage: RunningStage | undefined;
  try {
    stage = new RunningStage(options, executor);
    await stage.listen(host, port);
    return stage;
  } catch (error) {
    await (stage ?? executor)[Symbol.asyncDispose]();
    throw error;
  }
}

class RunningStage implements Stage {
  address = '';
  readonly #options: StageOptions;
  readonly #limits: StageLimits;
  readonly #keepAlive: KeepAlive;
  readonly #turns: Turns;
  readonly #server: Server;
  readonly #streams = new Set<StageStream>();
  readonly #stop = new AbortController();
  readonly #next: StageLink | undefined;
  readonly #deafen: (() => void) | undefined;
  #executor: Executor | undefined;
  readonly #runs = new Set<{ readonly executor: Executor; readonly ended: Promise<unknown> }>();
  #state: StageFacts | PenjingError = unavailable('the stage begins');
  #ended: Promise<void> | undefined;

  constructor(options: StageOptions, executor: Executor) {
    this.#options = options;
    this.#executor = executor;
    this.#limits = { ...stageLimits, ...options.limits };
    this.#keepAlive = options.keepAlive ?? defaultKeepAlive;
    this.#turns = new Turns(options.parallel ?? 1);
    this.#server = this.#serve();
    const { next, epoch, cancels } = options;
    if (next !== undefined) {
      const place = typeof next === 'function' ? next : () => ({ address: next, epoch });
      this.#next = new StageLink({ ...security(options), place, limits: this.#limits, keepAlive: this.#keepAlive, backoff: { first: 100, longest: 3000 }, onChange: () => this.#refresh() });
    }
    // Last: nobody would end it if certificates that are none were thrown above.
    if (options.shards) options.shards.onChange = () => this.#refresh();
    this.#deafen = cancels?.listen((key) => this.#streams.forEach((stream) => stream.cancel(key)));
    this.#refresh();
  }

  get state(): StageFacts | PenjingError {
    return this.#state;
  }

  get underWay(): number {
    return [...this.#streams].reduce((sum, { underWay }) => sum + underWay, 0);
  }

  findNext(why: string): void {
    this.#next?.reconnect(why);
  }

  async listen(host: string, port: number): Promise<void> {
    const address = formatAddress({ host, port });
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, serverCredentials(this.#options), (cause, found) => (cause ? reject(new PenjingError('E_LISTEN', `the stage cannot listen on ${address}: ${cause.message}`, { cause, hint: 'Choose another port.' })) : resolve(found)));
    });
    widenConnections(this.#server);
    this.address = formatAddress({ host, port: bound });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#ended ??= this.#end());
  }

  #serve(): Server {
    const { intervalMs, timeoutMs } = this.#keepAlive;
    const server = new Server({
      'grpc.max_receive_message_length': this.#limits.frameBytes + HEAD_BYTES, 'grpc.max_send_message_length': -1, 'grpc.max_metadata_size': 1 << 13, 'grpc.max_concurrent_streams': this.#limits.streams + 1,
      'grpc.keepalive_time_ms': intervalMs, 'grpc.keepalive_timeout_ms': timeoutMs,
    });
    widenStreams(server);
    const same = (bytes: Buffer): Buffer => bytes;
    const method = (path: string, stream: boolean): object => ({ path, requestStream: stream, responseStream: stream, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same });
    const shards = Array.from({ length: (this.#options.shards?.shards ?? 1) - 1 }, (_, i) => i + 1);
    const paths = Object.fromEntries(shards.map((shard) => [`shard${shard}`, method(shardPath(shard), true)]));
    server.addService({ flow: method(STAGE_PATH, true), health: method(HEALTH_PATH, false), ...paths } as Parameters<Server['addService']>[0], {
      flow: (call: StageCall) => this.#accept(call),
      ...Object.fromEntries(shards.map((shard) => [`shard${shard}`, (call: StageCall) => this.#admit(call, shard)])),
      // HealthCheckResponse { status: SERVING = 1 or NOT_SERVING = 2 }.
      health: (_: unknown, answer: (error: null, bytes: Buffer) => void) => answer(null, Buffer.of(8, isPenjingError(this.#state) ? 2 : 1)),
    });
    return server;
  }

  #isKnown(call: StageCall): boolean {
    try {
      checkToken(call.metadata, this.#options);
      return true;
    } catch (error) {
      call.emit('error', { code: status.UNAUTHENTICATED, details: (error as PenjingError).message });
      return false;
    }
  }

  /** Another shard of this stage. */
  #admit(call: StageCall, shard: number): void {
    if (!this.#isKnown(call)) return;
    try {
      this.#options.shards!.accept(call, shard, { epoch: this.#options.epoch, limits: this.#limits });
    } catch (error) {
      call.emit('error', { code: status.UNAVAILABLE, details: (error as PenjingError).message });
    }
  }

  #accept(call: StageCall): void {
    if (!this.#isKnown(call)) return;
    if (this.#streams.size >= this.#limits.streams) {
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: `the stage has ${this.#streams.size} streams already` });
      return;
    }
    const stream = new StageStream(call, { epoch: this.#options.epoch, limits: this.#limits, state: () => this.#state, compute: (...request) => this.#compute(...request), onEnd: () => this.#streams.delete(stream) });
    this.#streams.add(stream);
  }

  /** The part of this stage, then those after it. */
  async #compute(values: Feeds, wanted: readonly string[], signal: AbortSignal, key: string | undefined): Promise<Fetches> {
    const facts = this.#state;
    if (isPenjingError(facts)) throw facts;
    checkNames(values, wanted, facts);
    const next = this.#next?.state;
    if (next && isPenjingError(next)) throw next;
    const later = next ? wanted.filter((name) => next.outputs.some((output) => output.name === name)) : [];
    const taken = later.length > 0 ? (next?.inputs.map(({ name }) => name) ?? []) : [];
    const made = await this.#run(values, (name) => wanted.includes(name) || taken.includes(name), signal);
    const ours = Object.fromEntries(wanted.filter((name) => !later.includes(name)).map((name) => [name, made[name]!]));
    if (!next || later.length === 0) return ours;
    const passed = Object.fromEntries(next.inputs.map(({ name }) => [name, (made[name] ?? values[name])!]));
    return { ...ours, ...(await this.#next.request(passed, later, signal, key)) };
  }

  /** Gives no feeds away: executors of several threads need them to do again what a lost one cut off. */
  async #run(values: Feeds, isNeeded: (name: string) => boolean, signal: AbortSignal): Promise<Fetches> {
    await this.#turns.take(signal);
    const executor = this.#executor;
    try {
      if (!executor) throw unavailable('the stage is opened anew');
      const outputs = executor.outputs.map(({ name }) => name).filter(isNeeded);
      return await this.#noted(executor, executor.run(Object.fromEntries(executor.inputs.map(({ name }) => [name, values[name]!])), { outputs, signal }));
    } catch (error) {
      const isLost = isPenjingError(error) && (error.code === 'E_WORKER' || (error.code === 'E_DISPOSED' && executor !== this.#executor));
      if (!isLost) throw error;
      if (executor && executor === this.#executor) void this.#reopen(executor, error);
      throw unavailable(`the stage lost what computes it: ${error.message}`, error);
    } finally {
      this.#turns.give();
    }
  }

  async #noted(executor: Executor, running: Promise<Fetches>): Promise<Fetches> {
    const run = { executor, ended: running.catch(() => {}) };
    this.#runs.add(run);
    try {
      return await running;
    } finally {
      this.#runs.delete(run);
    }
  }

  /** Runs that the loss did not touch come to their end first. What crashed once may crash again at once; it is not tried in a tight loop. */
  async #reopen(lost: Executor, why: PenjingError): Promise<void> {
    this.#executor = undefined;
    this.#refresh(why);
    await Promise.all([...this.#runs].flatMap(({ executor, ended }) => (executor === lost ? [ended] : [])));
    await Promise.resolve(lost[Symbol.asyncDispose]()).catch(() => {});
    for (let wait = 100; !this.#stop.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      try {
        const executor = await this.#options.open(this.#stop.signal);
        if (this.#stop.signal.aborted) return await executor[Symbol.asyncDispose]();
        this.#executor = executor;
        return this.#refresh();
      } catch (error) {
        this.#refresh(error);
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  /** Tells all streams whether the stages from here on take requests. */
  #refresh(why?: unknown): void {
    this.#state = this.#stop.signal.aborted ? unavailable('the stage is ending') : this.#executor ? this.#factsOf(this.#executor) : unavailable(`the stage is opened anew: ${why instanceof Error ? why.message : 'it was lost'}`, why);
    for (const stream of this.#streams) stream.tell();
    this.#options.onChange?.(this.#state);
  }

  #factsOf(executor: Executor): StageFacts | PenjingError {
    const { results, part, shards } = this.#options;
    const next = this.#next?.state;
    if (next && isPenjingError(next)) return next;
    if (shards?.missing) return shards.missing;
    const names = (list: readonly ValueInfo[]): Set<string> => new Set(list.map(({ name }) => name));
    const taken = names(next?.inputs ?? []);
    const made = names(executor.outputs);
    const own = names(executor.inputs);
    const isResult = ({ name }: ValueInfo): boolean => (results ? results.includes(name) : !taken.has(name));
    return {
      inputs: [...executor.inputs, ...(next?.inputs.filter(({ name }) => !made.has(name) && !own.has(name)) ?? [])],
      outputs: [...executor.outputs.filter(isResult), ...(next?.outputs ?? [])],
      window: this.#limits.window, requestBytes: this.#limits.requestBytes, ...(part !== undefined && { part }),
    };
  }

  async #end(): Promise<void> {
    this.#stop.abort(unavailable('the stage is ending'));
    this.#refresh();
    for (const until = Date.now() + (this.#options.graceMs ?? 5000); this.underWay > 0 && Date.now() < until; ) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#deafen?.();
    for (const stream of [...this.#streams]) stream.end(unavailable('the stage has ended'));
    this.#options.shards?.end(unavailable('the stage has ended'));
    this.#next?.close();
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => this.#server.forceShutdown(), 500);
      this.#server.tryShutdown(() => {
        clearTimeout(cut);
        resolve();
      });
    });
    await this.#executor?.[Symbol.asyncDispose]();
    this.#executor = undefined;
  }
}

function security({ token, tls }: StageSecurity): StageSecurity {
  return { ...(token !== undefined && { token }), ...(tls && { tls }) };
}

/** Throws `E_INPUT`, before anything is computed. */
function checkNames(values: Feeds, wanted: readonly string[], { inputs, outputs }: StageFacts): void {
  const missing = inputs.find(({ name }) => !Object.hasOwn(values, name));
  if (missing) throw new PenjingError('E_INPUT', `input ${missing.name} is missing`, { hint: `The stages take ${inputs.map(({ name }) => name).join(', ')}.` });
  const unknown = wanted.find((name) => !outputs.some((output) => output.name === name));
  if (unknown !== undefined) throw new PenjingError('E_INPUT', `there is no output ${unknown}`, { hint: `The stages give ${outputs.map(({ name }) => name).join(', ')}.` });
}
