/** A stream of one client, as the stage sees it: what it asks for, within its window, and the answers. */
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type Feeds, type Fetches, isPenjingError, PenjingError } from '@penjing/core';
import { broken, decodeFrame, type Frame, type ReadFrame } from './frame.js';
import { FrameReader, type Letter } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { cutTensors } from './slices.js';
import type { StageLimits } from './stage-limits.js';
import { errorFrame, readyFrame, type StageFacts } from './stage-protocol.js';

/** Under way, and not answered. */
interface Request {
  readonly controller: AbortController;
  /** By which all stages know it. */
  readonly key: string | undefined;
}

const LONGEST_KEY = 100;

export type StageCall = ServerDuplexStream<Buffer, Buffer>;

export interface StageStreamOptions {
  readonly epoch: number;
  readonly limits: StageLimits;
  readonly state: () => StageFacts | PenjingError;
  readonly compute: (values: Feeds, wanted: readonly string[], signal: AbortSignal, key: string | undefined) => Promise<Fetches>;
  readonly onEnd: () => void;
}

export class StageStream {
  readonly #call: StageCall;
  readonly #options: StageStreamOptions;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #requests = new Map<number, Request>();
  #greeted = false;
  #ended = false;

  constructor(call: StageCall, options: StageStreamOptions) {
    this.#call = call;
    this.#options = options;
    this.#writer = new FrameWriter(call);
    this.#reader = new FrameReader(options.limits.requestBytes);
    call.on('data', (bytes: Buffer) => {
      if (this.#ended) return;
      try {
        this.#take(decodeFrame('request', bytes));
      } catch (error) {
        this.end(error);
      }
    });
    const gone = (): void => this.#close(new PenjingError('E_CANCELLED', 'the client has left'));
    for (const event of ['cancelled', 'end', 'error', 'close']) call.on(event, gone);
  }

  get underWay(): number {
    return this.#requests.size;
  }

  /** Says whether the stage takes requests. */
  tell(): void {
    const { epoch, state } = this.#options;
    const now = state();
    if (this.#greeted) this.#writer.state(isPenjingError(now) ? errorFrame('waiting', epoch, 0, now) : readyFrame(epoch, now));
  }

  /** Ends the stream, and with it all its requests. */
  end(error: unknown): void {
    if (this.#ended) return;
    const { code, message } = isPenjingError(error) ? error : new PenjingError('E_INTERNAL', 'the stage failed for a reason that it does not know');
    this.#close(error);
    this.#call.emit('error', { code: codes[code] ?? status.INVALID_ARGUMENT, details: message });
  }

  #close(why: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#writer.close();
    for (const { controller } of this.#requests.values()) controller.abort(why);
    this.#requests.clear();
    this.#options.onEnd();
  }

  #take(frame: ReadFrame): void {
    const { epoch, limits } = this.#options;
    if (frame.kind === 'hello') {
      if (frame.epoch !== epoch) throw wrongEpoch(frame.epoch, epoch);
      this.#greeted = true;
      return this.tell();
    }
    if (!this.#greeted) throw broken('a stream begins with hello');
    if (frame.kind === 'cancel') return this.#cancel(frame.request);
    if (frame.piece === 0) {
      if (frame.request === 0 || this.#requests.has(frame.request)) throw broken(`there is a request ${frame.request} already`);
      // One that keeps to the window never comes here.
      if (this.#requests.size >= limits.window) throw new PenjingError('E_LIMIT', `more than ${limits.window} requests are under way`);
      this.#requests.set(frame.request, { controller: new AbortController(), key: keyOf(frame) });
    }
    if (!this.#requests.has(frame.request)) throw broken(`request ${frame.request} has not begun`);
    const letter = this.#reader.add(frame);
    if (frame.epoch !== epoch) {
      this.#reader.drop(frame.request);
      return this.#fail(frame.request, wrongEpoch(frame.epoch, epoch));
    }
    if (letter) void this.#answer(letter);
  }

  /** Ends what has this key. It is answered as what fails is: the client may still be sending it. */
  cancel(key: string): void {
    for (const request of this.#requests.values()) if (request.key === key) request.controller.abort(new PenjingError('E_CANCELLED', 'the request was cancelled'));
  }

  #cancel(request: number): void {
    this.#reader.drop(request);
    this.#requests.get(request)?.controller.abort(new PenjingError('E_CANCELLED', 'the client has cancelled the request'));
    // Always answered: the client does not know whether the request ever began.
    this.#fail(request, new PenjingError('E_CANCELLED', 'the request was cancelled'));
  }

  #fail(request: number, error: unknown): void {
    this.#requests.delete(request);
    const { epoch, limits } = this.#options;
    this.#writer.urgent(errorFrame('error', epoch, request, error));
    // A client that reads has a window of requests without an answer, each failed and cancelled, a few answers at most.
    if (this.#writer.unread > 4 * limits.window) this.end(new PenjingError('E_LIMIT', `${this.#writer.unread} answers are not read`));
  }

  async #answer({ request, values, outputs }: Letter): Promise<void> {
    const own = this.#requests.get(request)!;
    const { controller, key } = own;
    const { epoch, limits, compute, state } = this.#options;
    try {
      if (isPenjingError(values)) throw values;
      const now = state();
      const made = await compute(values, outputs ?? (isPenjingError(now) ? [] : now.outputs.map(({ name }) => name)), controller.signal, key);
      function* frames(): Generator<Frame> {
        let piece = 0;
        for (const { tensors, last } of cutTensors(made, limits.frameBytes)) yield { kind: 'result', epoch, request, piece: piece++, last, tensors };
      }
      await this.#writer.send(frames(), controller.signal);
      this.#requests.delete(request);
    } catch (error) {
      if (this.#requests.get(request) === own) this.#fail(request, error);
    }
  }
}

function keyOf({ facts }: ReadFrame): string | undefined {
  const key = facts?.['key'];
  if (key !== undefined && (typeof key !== 'string' || key.length > LONGEST_KEY)) throw broken('the key of a request is none');
  return key;
}

const codes: Readonly<Record<string, status>> = { E_EPOCH: status.FAILED_PRECONDITION, E_UNAVAILABLE: status.UNAVAILABLE, E_LIMIT: status.RESOURCE_EXHAUSTED, E_CHECKSUM: status.UNAVAILABLE };

function wrongEpoch(theirs: number, ours: number): PenjingError {
  return new PenjingError('E_EPOCH', `the request is of plan ${theirs}, the stage is of plan ${ours}`, { hint: 'Start all stages and the front with the same plan.' });
}
