/** Threads that hold grammars: one grammar in each, so that one that explodes is stopped without harm to others. */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { fromPlainError, PenjingError } from '@penjing/core';
import { spawnWorker } from '@penjing/graph-io/node';
import type { GrammarSource } from './constraint.js';
import { grammarError } from './grammar-error.js';
import type { GrammarReply } from './grammar-protocol.js';
import { MaskCells } from './mask-cells.js';

/** As many grammars as texts share a run; each takes up to 512 MiB, honest ones some 50. */
const MOST_THREADS = 8;
/** Those that wait for another text. */
const MOST_IDLE = 2;
/** Reading a vocabulary of 256,000 tokens takes some seconds. */
const START_MS = 60_000;

/** A text's end of a grammar. */
export interface OpenGrammar {
  /** For the thread that writes: tokens in, masks in the cells. */
  readonly port: MessagePort;
  readonly cells: SharedArrayBuffer;
  /** To be called when the text has ended; `stuck` when a mask did not come in time. */
  release(stuck?: boolean): void;
}

export class GrammarThreads implements AsyncDisposable {
  readonly #folder: string;
  readonly #threads = new Set<GrammarThread>();
  #free: (() => void)[] = [];
  #disposed = false;

  /** `folder` has the tokenizer.json. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Compiles, or takes what is compiled. Throws `E_GRAMMAR` for what is wrong or takes longer than `timeLimit` milliseconds. */
  async open(source: GrammarSource, timeLimit: number, signal?: AbortSignal): Promise<OpenGrammar> {
    const key = `${source.kind} ${source.text}`;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#disposed) throw new PenjingError('E_DISPOSED', 'the generator was disposed');
      const threads = [...this.#threads].filter(({ stopped }) => !stopped);
      // One that is being stopped still has its memory.
      const thread = threads.find((other) => other.key === key) ?? threads.find((other) => other.users === 0) ?? (this.#threads.size < MOST_THREADS ? this.#start() : undefined);
      if (thread) return this.#openIn(thread, key, source, timeLimit, signal);
      await new Promise<void>((resolve) => {
        this.#free.push(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all([...this.#threads].map((thread) => thread.stop(new PenjingError('E_DISPOSED', 'the generator was disposed'))));
    this.#wake();
  }

  #start(): GrammarThread {
    const thread = new GrammarThread(this.#folder, () => {
      this.#threads.delete(thread);
      this.#wake();
    });
    this.#threads.add(thread);
    return thread;
  }

  async #openIn(thread: GrammarThread, key: string, source: GrammarSource, timeLimit: number, signal: AbortSignal | undefined): Promise<OpenGrammar> {
    thread.users++;
    thread.key = key;
    const { port1, port2 } = new MessageChannel();
    const leave = async (): Promise<void> => {
      // What is still being computed must not be charged to the next grammar.
      await thread.settle(timeLimit);
      thread.users--;
      const idle = [...this.#threads].filter(({ users, stopped }) => users === 0 && !stopped);
      if (idle.length > MOST_IDLE) await idle[0]!.stop(grammarError('the thread was idle'));
      this.#wake();
    };
    try {
      const buffer = await thread.open(source, port1, timeLimit, signal);
      const cells = new MaskCells(buffer);
      thread.cells.add(cells);
      return {
        port: port2,
        cells: buffer,
        release: (stuck = false) => {
          thread.cells.delete(cells);
          // Closed already, unless the text never came to be written.
          port2.close();
          if (stuck) void thread.stop(grammarError('the grammar was stopped, because it took too long with another text'));
          void leave();
        },
      };
    } catch (error) {
      port2.close();
      void leave();
      throw error;
    }
  }

  #wake(): void {
    const waiting = this.#free;
    this.#free = [];
    for (const resolve of waiting) resolve();
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** `Promise.withResolvers`, which Node has from 22 on. */
function deferred<T>(): Deferred<T> {
  let [resolve, reject]: [Deferred<T>['resolve'], Deferred<T>['reject']] = [() => {}, () => {}];
  const promise = new Promise<T>((...given) => ([resolve, reject] = given));
  return { promise, resolve: (value) => resolve(value), reject: (error) => reject(error) };
}

interface Pending {
  readonly resolve: (cells: SharedArrayBuffer | undefined) => void;
  readonly reject: (error: unknown) => void;
}

class GrammarThread {
  /** The grammar it has compiled. */
  key: string | undefined;
  users = 0;
  readonly cells = new Set<MaskCells>();
  readonly #worker: Worker;
  readonly #ready: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #stopped: Promise<void> | undefined;

  constructor(folder: string, onEnd: () => void) {
    const worker = spawnWorker(import.meta.url, './grammar-thread', { name: 'penjing-grammar', workerData: { folder } });
    this.#worker = worker;
    worker.unref();
    const started = deferred<void>();
    this.#pending.set(0, { resolve: () => started.resolve(), reject: started.reject });
    this.#ready = started.promise;
    this.#ready.catch(() => {});
    worker.on('message', (reply: GrammarReply) => this.#settle(reply));
    const fail = (error: Error): void => void this.stop(grammarError(`the grammar thread failed: ${error.message}`));
    worker.on('error', fail);
    worker.on('exit', () => {
      fail(new Error('it ended'));
      onEnd();
    });
  }

  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  async open(source: GrammarSource, port: MessagePort, timeLimit: number, signal: AbortSignal | undefined): Promise<SharedArrayBuffer> {
    await this.#within(START_MS, signal, () => this.#ready, 'the tokenizer takes too long to be read for a grammar');
    const opened = await this.#within(timeLimit, signal, () => this.#ask((id) => this.#worker.postMessage({ open: id, source, port }, [port])), `the ${source.kind} was stopped, because compiling it took longer than ${timeLimit} ms`);
    return opened!;
  }

  /** Waits until the thread has nothing to do. */
  async settle(timeLimit: number): Promise<void> {
    const ping = (): Promise<unknown> => this.#within(timeLimit, undefined, () => this.#ask((id) => this.#worker.postMessage({ ping: id })), 'the grammar was stopped, because it did not come to an end');
    if (!this.#stopped) await this.#ready.then(ping).catch(() => {});
    await this.#stopped;
  }

  /** Everybody who waits for it gets the error. */
  stop(error: PenjingError): Promise<void> {
    if (!this.#stopped) {
      const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
      this.#stopped = Promise.race([ended, this.#worker.terminate().then(() => {})]);
      for (const cells of this.cells) cells.fail(error.message);
      for (const { reject } of [...this.#pending.values()]) reject(error);
    }
    return this.#stopped;
  }

  #ask(send: (id: number) => void): Promise<SharedArrayBuffer | undefined> {
    const id = this.#next++;
    const { promise, resolve, reject } = deferred<SharedArrayBuffer | undefined>();
    this.#pending.set(id, { resolve, reject });
    if (this.#stopped) reject(grammarError('the grammar thread has ended'));
    else send(id);
    return promise.finally(() => this.#pending.delete(id));
  }

  /** Stops the thread when the work takes too long; keeps the process alive for as long. */
  async #within<T>(milliseconds: number, signal: AbortSignal | undefined, work: () => Promise<T>, message: string): Promise<T> {
    const stopping = deferred<never>();
    const timer = setTimeout(() => {
      const error = grammarError(message, 'Make it smaller, or give constrain.timeLimit more milliseconds.');
      stopping.reject(error);
      void this.stop(error);
    }, milliseconds);
    const abort = (): void => stopping.reject(signal!.reason as Error);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const working = work();
      working.catch(() => {});
      return await Promise.race([working, stopping.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  #settle(reply: GrammarReply): void {
    if ('ready' in reply) this.#pending.get(0)?.resolve(undefined);
    else if ('error' in reply) {
      const error = fromPlainError(reply.error);
      if (reply.broken) {
        // The one who asked first.
        if (reply.id !== undefined) this.#pending.get(reply.id)?.reject(error);
        void this.stop(error);
      } else this.#pending.get(reply.id ?? 0)?.reject(error);
    } else this.#pending.get(reply.id)?.resolve(reply.cells);
  }
}
