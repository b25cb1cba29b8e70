/** The calling thread's side of one session worker: typed calls, cancellation, and an end for every promise when the thread dies. */
import { setMaxListeners } from 'node:events';
import type { Transferable } from 'node:worker_threads';
import { fromPlainError, PenjingError } from '@penjing/core';
import { spawnWorker } from '@penjing/graph-io/node';
import type { SessionOptions } from './engine/settings.js';
import { inlineSession } from './inline-session.js';
import type { Method, Methods, Reply, Request } from './worker/protocol.js';
import { RunGate } from './worker/run-gate.js';

export interface CallOptions<M extends Method> {
  readonly signal?: AbortSignal;
  /** Asks the worker to end early; the call still settles with what the worker then gives. */
  readonly stop?: AbortSignal;
  readonly transfer?: readonly Transferable[];
  readonly onEvent?: (event: Methods[M]['event']) => void;
}

/** What a host talks to: a worker thread, or what stands for one on the calling thread. */
export interface SessionThread {
  /** It runs on the thread of its host, which cannot wait for it. */
  readonly inline?: boolean;
  on(event: 'message', listener: (reply: Reply) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  postMessage(request: Request, transfer: readonly Transferable[]): void;
  ref(): void;
  unref(): void;
  terminate(): Promise<number>;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onEvent?(event: unknown): void;
}

/** A worker that is told to end and does nothing else is stopped after this long. */
const GRACE_MS = 5_000;
const hosts = new Set<SessionHost>();

/** A worker of its own, unless the options say that sessions run on this thread. */
export function sessionHostFor({ thread }: Pick<SessionOptions, 'thread'>): SessionHost {
  return new SessionHost(thread === 'calling' ? inlineSession : undefined);
}

/** Session workers whose threads are running; tests count them. */
export function liveSessionHosts(): number {
  return hosts.size;
}

export class SessionHost implements AsyncDisposable {
  readonly #worker: SessionThread;
  readonly #gate: RunGate;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #next = 1;
  #failure: PenjingError | undefined;
  #tellLost: (error: PenjingError) => void = () => {};
  /** Resolves when its thread is gone, or going. */
  readonly lost = new Promise<PenjingError>((resolve) => (this.#tellLost = resolve));
  #closing: Promise<void> | undefined;

  /** A worker that has workers of its own gives them its gate: who closes it closes theirs. */
  constructor(start: (gate: SharedArrayBuffer) => SessionThread = startSessionWorker, gate: RunGate = new RunGate()) {
    this.#gate = gate;
    const worker = start(this.#gate.cells.buffer);
    this.#worker = worker;
    if (hosts.size === 0) process.on('exit', closeGates);
    hosts.add(this);
    // An idle engine must not keep a finished program alive; pending calls hold it (see call).
    worker.unref();
    worker.on('message', (reply: Reply) => this.#settle(reply));
    worker.on('error', (error) => this.#fail(workerError(error)));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        hosts.delete(this);
        if (hosts.size === 0) process.off('exit', closeGates);
        this.#fail(new PenjingError('E_WORKER', `the session worker ended (exit code ${code})`, {
          hint: 'Load the model again; if it happens every time, run it in a child process and report it.',
        }));
        resolve();
      });
    });
  }

  /** Its thread is gone, or going: all calls fail. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Sends a request. Rejects with the signal's reason at once when it fires; the worker stops at its next border. */
  call<M extends Method>(method: M, params: Methods[M]['params'], options: CallOptions<M> = {}): Promise<Methods[M]['result']> {
    const { signal, stop, transfer = [], onEvent } = options;
    if (this.#closing) return Promise.reject(new PenjingError('E_DISPOSED', `${method} was called on a disposed session`));
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#post({ cancel: id });
        finish(() => reject(signal!.reason as Error));
      };
      const end = (): void => this.#post({ cancel: id });
      const finish = (then: () => void): void => {
        signal?.removeEventListener('abort', abort);
        stop?.removeEventListener('abort', end);
        if (!this.#pending.delete(id)) return;
        if (this.#pending.size === 0) this.#worker.unref();
        then();
      };
      // A server gives one signal to many calls; Node would warn of a leak from the eleventh on.
      if (signal) setMaxListeners(0, signal);
      signal?.addEventListener('abort', abort, { once: true });
      stop?.addEventListener('abort', end, { once: true });
      this.#pending.set(id, {
        resolve: (result) => finish(() => resolve(result)),
        reject: (error) => finish(() => reject(error)),
        ...(onEvent ? { onEvent: (event: unknown) => onEvent(event as Methods[M]['event']) } : {}),
      });
      this.#worker.ref();
      try {
        this.#post({ id, method, params } as Request, transfer);
      } catch (error) {
        this.#pending.get(id)!.reject(new PenjingError('E_INPUT', `${method} could not be sent to the session worker: ${String(error)}`, { cause: error }));
      }
    });
  }

  /** Releases the sessions and ends the thread. Calls in flight reject with `E_DISPOSED`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Disposes; without waiting when the caller has given up, since a load or run that has begun goes on to its end. */
  async release(signal: AbortSignal | undefined, then: () => Promise<void> = async () => {}): Promise<void> {
    const done = this[Symbol.asyncDispose]().then(then);
    if (!signal?.aborted) return done;
    done.catch(() => {});
  }

  async #close(): Promise<void> {
    this.#rejectAll(new PenjingError('E_DISPOSED', 'the session was disposed during the call'));
    this.#worker.ref();
    this.#post({ shutdown: true });
    const timer = setInterval(() => {
      if (!this.#gate.busy) void this.#worker.terminate();
    }, GRACE_MS);
    await this.#exited;
    clearInterval(timer);
  }

  /** Blocks until the worker is outside of ONNX Runtime, and keeps it there. */
  closeGate(): void {
    // On this very thread nothing is inside while JavaScript runs.
    if (!this.#worker.inline) this.#gate.close();
  }

  #post(request: Request, transfer: readonly Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if ('event' in reply) pending.onEvent?.(reply.event);
    else if ('error' in reply) pending.reject(fromPlainError(reply.error));
    else pending.resolve(reply.result);
  }

  #fail(error: PenjingError): void {
    this.#failure ??= error;
    this.#tellLost(this.#failure);
    this.#rejectAll(this.#failure);
  }

  #rejectAll(error: PenjingError): void {
    for (const pending of [...this.#pending.values()]) pending.reject(error);
  }
}

function startSessionWorker(gate: SharedArrayBuffer): SessionThread {
  return spawnWorker(import.meta.url, './session-worker', { name: 'penjing-session', workerData: { gate } });
}

/** The last moment of a process; see RunGate. */
function closeGates(): void {
  for (const host of hosts) host.closeGate();
}

function workerError(cause: Error): PenjingError {
  const missing = /onnxruntime|ERR_MODULE_NOT_FOUND|ERR_DLOPEN/.test(`${cause.message} ${(cause as NodeJS.ErrnoException).code ?? ''}`);
  return new PenjingError('E_WORKER', `the session worker failed: ${cause.message}`, {
    cause,
    ...(missing ? { hint: 'Install onnxruntime-node again; it has builds for Linux with glibc, Windows, and macOS on arm64.' } : {}),
  });
}
