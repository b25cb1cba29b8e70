/** A tensor-parallel model as one `Executor`: a thread for every shard, which meet in shared memory. */
import { threadId } from 'node:worker_threads';
import { DenseTensor, type Executor, type Feeds, type Fetches, fromPlainError, isPenjingError, type JobHost, type Model, PenjingError, type PreparedModel, type RunOptions, StringTensor, type TaskOptions, toPlainError, untilAborted } from '@penjing/core';
import { shardModel, type ShardOptions } from '../tensor/shard-model.js';
import type { ShardedModel } from '../tensor/sharded-model.js';
import { checkNames, infosOf } from '../tensor/sharded-ports.js';
import { CollectiveGate, stops } from './collective-gate.js';
import { Slots } from './slots.js';
import { tensorJob } from './tensor-job.js';
import { type FromShard, type SentTensor, type ToShard } from './tensor-messages.js';

export interface OpenTensorOptions extends Partial<ShardOptions>, Pick<TaskOptions, 'signal'> {
  /** Runs as many jobs at the same time as there are shards, and none besides while the model is open. The caller disposes of it, after the model. */
  readonly jobs: JobHost;
}

/** Feeds that are larger go through shared memory instead of being copied for every shard. */
const LARGE_FEED = 2 ** 14;

/**
 * Loads every shard in a job of its own. Runs that are asked for at the same time follow each other. A shard whose thread dies ends all of them:
 * `run` then throws `E_WORKER`. A model that is not cut yet needs `shards`.
 */
export async function openTensor(model: Model | ShardedModel, { jobs, signal, shards, ...options }: OpenTensorOptions): Promise<Executor> {
  const sharded = 'program' in model ? model : shardModel(model, { ...options, shards: shards ?? jobs.parallel });
  if (jobs.parallel < sharded.shards) throw new PenjingError('E_OPTION', `${sharded.shards} shards need as many jobs at the same time, and the host runs ${jobs.parallel}`, { hint: 'Start the host with `parallel` set to the number of shards.' });
  const prepared: (PreparedModel & AsyncDisposable)[][] = [];
  const cleanUp = async (): Promise<void> => {
    for (const stored of prepared.flat()) await stored[Symbol.asyncDispose]();
  };
  try {
    for (const segments of sharded.segments) {
      const own: (PreparedModel & AsyncDisposable)[] = [];
      prepared.push(own);
      for (const segment of segments) own.push(await jobs.prepare(segment, signal ? { signal } : {}));
    }
    const team = new ShardTeam(sharded, jobs, prepared.map((own) => own.map(({ kind, reference }) => ({ kind, reference }))));
    try {
      await team.ready(signal);
    } catch (error) {
      await team.close();
      throw error;
    }
    return executorOf(sharded, team, cleanUp);
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

/** As `openTensor`, with a host that is disposed of with the model: a shard whose thread died leaves others that wait for it. */
export async function openShards(sharded: ShardedModel, jobs: JobHost & AsyncDisposable, signal: AbortSignal | undefined): Promise<Executor> {
  try {
    const executor = await openTensor(sharded, { jobs, ...(signal && { signal }) });
    return {
      inputs: executor.inputs,
      outputs: executor.outputs,
      run: (feeds, options) => executor.run(feeds, options),
      async [Symbol.asyncDispose]() {
        await executor[Symbol.asyncDispose]();
        await jobs[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await jobs[Symbol.asyncDispose]();
    throw error;
  }
}

function executorOf(sharded: ShardedModel, team: ShardTeam, cleanUp: () => Promise<void>): Executor {
  const turn = new Slots(1);
  let closed: Promise<void> | undefined;
  return {
    ...infosOf(sharded),
    async run(feeds, { outputs = sharded.outputs.map(({ name }) => name), signal }: RunOptions = {}) {
      if (closed) throw new PenjingError('E_DISPOSED', 'the model was disposed of', { hint: 'Open it again.' });
      checkNames(sharded, feeds, outputs);
      const free = await turn.take(signal);
      if (closed as unknown) {
        free();
        throw new PenjingError('E_DISPOSED', 'the model was disposed of', { hint: 'Open it again.' });
      }
      const { settled, result } = team.run(feeds, outputs, signal);
      // the next run waits until all shards have left this one, the caller does not
      void settled.then(free);
      return result;
    },
    [Symbol.asyncDispose]: () => (closed ??= team.close().then(cleanUp)),
  };
}

interface Member {
  readonly port: MessagePort;
  readonly ended: Promise<void>;
  onMessage(message: FromShard): void;
}

/** The jobs of all shards, from the caller's side. */
class ShardTeam {
  readonly #gate: CollectiveGate;
  readonly #members: Member[];
  #next = 1;
  #failure: PenjingError | undefined;
  #closing = false;
  /** Not all shards ended the run before. */
  #broken = false;
  #onFailure: (error: PenjingError) => void = () => {};
  /** For feeds; used by one run at a time. */
  #memory = new SharedArrayBuffer(0);

  constructor(sharded: ShardedModel, jobs: JobHost, prepared: readonly (readonly PreparedModel[])[]) {
    const { shards, program, inputs, outputs } = sharded;
    this.#gate = new CollectiveGate(shards, { sleep: false });
    const links = Array.from({ length: shards - 1 }, () => new MessageChannel());
    this.#members = prepared.map((segments, shard) => {
      const { port1, port2 } = new MessageChannel();
      const peers = shard === 0 ? links.map((link) => link.port1) : [links[shard - 1]!.port2];
      const task = { shard, shards, segments, program, inputs, outputs, cells: this.#gate.cells, port: port2, peers, thread: threadId };
      const ended = jobs.run(tensorJob, task, { transfer: [port2, ...peers] }).then(
        () => this.#lose(shard, new PenjingError('E_WORKER', `the job of shard ${shard} ended`)),
        (error: unknown) => this.#lose(shard, error),
      );
      const member: Member = { port: port1, ended, onMessage: () => {} };
      port1.onmessage = ({ data }: MessageEvent<FromShard>) => member.onMessage(data);
      return member;
    });
  }

  /** When all have loaded their segments. */
  async ready(signal?: AbortSignal): Promise<void> {
    await this.#unlessLost(signal, Promise.all(this.#members.map((member) => new Promise<void>((resolve) => {
      member.onMessage = (message) => 'ready' in message && resolve();
    }))));
  }

  /** `settled`: all shards can begin another run, or never will. */
  run(feeds: Feeds, outputs: readonly string[], signal: AbortSignal | undefined): { readonly settled: Promise<void>; readonly result: Promise<Fetches> } {
    if (this.#failure) return { settled: Promise.resolve(), result: Promise.reject(this.#failure) };
    const id = this.#next++;
    this.#gate.reset();
    const replies = this.#members.map((member) => new Promise<FromShard>((resolve) => {
      member.onMessage = (message) => 'run' in message && message.run === id && resolve(message);
    }));
    const message: ToShard = { run: id, fresh: this.#broken, feeds: this.#send(feeds), outputs };
    for (const { port } of this.#members) port.postMessage(message);
    const all = this.#unlessLost(undefined, Promise.all(replies));
    const settled = all.then((answers) => void (this.#broken = answers.some((answer) => 'failure' in answer)), () => {});
    const give = (): void => this.#gate.stop(stops.cancelled);
    signal?.addEventListener('abort', give, { once: true });
    void settled.then(() => signal?.removeEventListener('abort', give));
    const result = all.then((answers) => {
      const failures = answers.flatMap((answer, shard) => ('failure' in answer ? [{ shard, failure: answer.failure }] : []));
      // the others only say that one of them failed
      const cause = failures.find(({ failure }) => failure.code !== 'E_PEER' && failure.code !== 'E_CANCELLED') ?? failures[0];
      if (cause) throw fromPlainError({ ...cause.failure, message: `shard ${cause.shard}: ${cause.failure.message}` });
      return fetchesOf((answers[0] as Extract<FromShard, { readonly outputs: unknown }>).outputs);
    });
    return { settled, result: untilAborted(result, signal) };
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#lose(-1, new PenjingError('E_DISPOSED', 'the model was disposed of during the run'));
    for (const { port } of this.#members) port.postMessage({ close: true } satisfies ToShard);
    await Promise.all(this.#members.map(({ ended }) => ended));
    for (const { port } of this.#members) port.close();
  }

  /** A shard is gone: nobody waits for it any more. */
  #lose(shard: number, error: unknown): void {
    if (!this.#failure) {
      const { code, message, hint } = toPlainError(error, 'E_ENGINE');
      this.#failure = shard < 0 ? (error as PenjingError) : new PenjingError(isPenjingError(error) ? code : 'E_WORKER', `shard ${shard} is gone: ${message}`, { cause: error, ...(hint !== undefined && { hint }) });
    }
    this.#gate.stop(stops.closed);
    this.#onFailure(this.#failure);
    if (!this.#closing) for (const { port } of this.#members) port.postMessage({ close: true } satisfies ToShard);
  }

  #unlessLost<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
    const lost = new Promise<never>((_, reject) => {
      this.#onFailure = reject;
      if (this.#failure) reject(this.#failure);
    });
    const settled = Promise.race([work, lost]);
    return untilAborted(settled, signal);
  }

  /** Large feeds are copied once, into memory that all shards see. */
  #send(feeds: Feeds): Record<string, SentTensor> {
    const dense = Object.values(feeds).filter((tensor): tensor is DenseTensor => tensor.kind === 'dense' && tensor.byteLength > LARGE_FEED);
    const total = dense.reduce((sum, { byteLength }) => sum + Math.ceil(byteLength / 64) * 64, 0);
    if (total > this.#memory.byteLength) this.#memory = new SharedArrayBuffer(2 * total);
    let at = 0;
    return Object.fromEntries(Object.entries(feeds).map(([name, tensor]): [string, SentTensor] => {
      if (tensor.kind === 'string') return [name, { shape: tensor.shape, texts: tensor.values }];
      const { dtype, shape, bytes } = tensor;
      if (bytes.byteLength <= LARGE_FEED) return [name, { dtype, shape, bytes: bytes.slice() }];
      const place = new Uint8Array(this.#memory, at, bytes.byteLength);
      place.set(bytes);
      at += Math.ceil(bytes.byteLength / 64) * 64;
      return [name, { dtype, shape, bytes: place }];
    }));
  }
}

function fetchesOf(outputs: Readonly<Record<string, SentTensor>>): Fetches {
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, 'texts' in tensor ? new StringTensor(tensor.shape, tensor.texts) : new DenseTensor(tensor.dtype, tensor.shape, tensor.bytes)]));
}
