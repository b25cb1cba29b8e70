/** A pool of threads that stream weights from file to file; the calling thread only schedules. */
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { PenjingError } from '@penjing/core';
import type { CallName, Calls, FromWorker, ToWorker, WireError, WorkerGroup } from './pool-protocol.js';
import { spawnWorker } from './spawn-worker.js';

export interface PoolOptions {
  /** Threads, by default one per core, at most 8: beyond that a disk is the limit. */
  readonly threads?: number;
  /** Memory of each thread for its kernels. */
  readonly arenaBytes?: number;
  /** Files of at least this size, 256 MiB by default, are written past the page cache where the system can. */
  readonly directFileBytes?: number;
}

/** Room for the chunks that saves are cut into (`plan.ts`). */
const ARENA_BYTES = 48 * 2 ** 20;

/** Several saves may share a pool, also at the same time. */
export interface Pool extends AsyncDisposable {
  readonly threads: readonly SaveThread[];
}

/** What a save asks of a thread; a thread may stand for workers on other machines. */
export interface SaveThread {
  call<Name extends CallName>(call: Name, params: Calls[Name]['params']): Promise<Calls[Name]['result']>;
  /** Sends a group, the first time. */
  openGroup(id: number, group: WorkerGroup): void;
  closeGroup(id: number): void;
  /** Closes output files before they are moved. */
  forget(paths: readonly string[]): void;
}

export function createPool(options: PoolOptions = {}): Pool {
  const { threads = Math.min(8, availableParallelism()), arenaBytes = ARENA_BYTES, directFileBytes } = options;
  if (!Number.isSafeInteger(threads) || threads < 1) throw new PenjingError('E_OPTION', `a pool of ${threads} threads`);
  const started = Array.from({ length: threads }, () => new PoolThread({ arenaBytes, directFileBytes }));
  return {
    threads: started,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(started.map((thread) => thread.stop()));
    },
  };
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

let groupCount = 0;

/** Every group gets a number of its own in this process. */
export function nextGroup(): number {
  return groupCount++;
}

/** One thread: calls are carried out in order; when it dies they all fail. */
export class PoolThread implements SaveThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #groups = new Set<number>();
  #next = 0;
  #failure: PenjingError | undefined;

  constructor(workerData: Required<Pick<PoolOptions, 'arenaBytes'>> & { readonly directFileBytes: number | undefined }) {
    this.#worker = spawnWorker(import.meta.url, './pool-worker', {
      workerData,
      name: 'penjing-pool',
      // A thread makes little garbage; without a limit its heap grows to what a long run is allowed to keep.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    // An idle pool must not keep a finished program alive; pending calls hold it.
    this.#worker.unref();
    this.#worker.on('message', (reply: FromWorker) => this.#settle(reply));
    this.#worker.on('error', (cause) => this.#fail(`a pool thread failed: ${cause.message}`, cause));
    this.#worker.on('exit', (code) => this.#fail(`a pool thread ended (exit code ${code})`));
  }

  call<Name extends CallName>(call: Name, params: Calls[Name]['params']): Promise<Calls[Name]['result']> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise<unknown>((resolve, reject) => {
      const id = this.#next++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.ref();
      this.#post({ id, call, params } as ToWorker);
    }) as Promise<Calls[Name]['result']>;
  }

  openGroup(id: number, group: WorkerGroup): void {
    if (this.#groups.has(id)) return;
    this.#groups.add(id);
    this.#post({ open: id, group });
  }

  closeGroup(id: number): void {
    if (this.#groups.delete(id)) this.#post({ close: id });
  }

  forget(paths: readonly string[]): void {
    this.#post({ forget: paths });
  }

  async stop(): Promise<void> {
    this.#failure ??= new PenjingError('E_DISPOSED', 'the pool was disposed');
    await this.#worker.terminate();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #settle(reply: FromWorker): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if ('error' in reply) pending?.reject(fromWire(reply.error));
    else pending?.resolve(reply.result);
  }

  #fail(message: string, cause?: unknown): void {
    this.#failure ??= new PenjingError('E_WORKER', message, {
      cause,
      hint: 'What is finished is kept: run again with --resume. If it happens every time, report it.',
    });
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}

function fromWire({ code, message, hint, details, stack }: WireError): Error {
  if (code === undefined) return Object.assign(new Error(message), { stack });
  return new PenjingError(code as `E_${string}`, message, { ...(hint !== undefined && { hint }), ...(details && { details }) });
}
