/** The way from one stage, or the front, to the next: a stream that is opened again when it breaks, and the requests on it. */
import { type ChannelCredentials, Client, type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import { type Feeds, type Fetches, isPenjingError, PenjingError } from '@penjing/core';
import { wireSize } from '@penjing/graph-io/v2';
import { broken, decodeFrame, type Frame, type ReadFrame } from './frame.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { RECEIVE_WINDOW } from './receive-window.js';
import { clientCredentials, formatAddress, parseAddress, type StageSecurity, tokenMetadata } from './security.js';
import { cutTensors } from './slices.js';
import { HEAD_BYTES, type KeepAlive, type StageLimits } from './stage-limits.js';
import { errorOf, factsOf, STAGE_PATH, type StageFacts, streamFrame, unavailable } from './stage-protocol.js';
import { Turns } from '../jobs/turns.js';

/** Where a stage is, and of which plan; it may change. */
export interface StagePlace {
  readonly address: string;
  readonly epoch: number;
}

export interface LinkOptions extends StageSecurity {
  /** Of the method; that of stages when absent. */
  readonly path?: string;
  /** Asked before every try to connect; undefined while nobody knows. `turn` counts the tries. */
  readonly place: (turn: number) => StagePlace | undefined;
  readonly limits: StageLimits;
  readonly keepAlive: KeepAlive;
  /** Milliseconds before the second try, doubled up to `longest`. */
  readonly backoff: { readonly first: number; readonly longest: number };
  /** Says that the stage takes requests, or no longer does and why. */
  readonly onChange?: (state: StageFacts | PenjingError) => void;
}

interface Pending {
  readonly resolve: (values: Fetches) => void;
  readonly reject: (error: unknown) => void;
}

interface Connection {
  readonly client: Client;
  readonly call: ClientDuplexStream<Buffer, Buffer>;
  readonly writer: FrameWriter;
  readonly reader: FrameReader;
  readonly epoch: number;
  readonly address: string;
  /** Requests sent and not answered; each holds a place of the window. */
  readonly pending: Map<number, Pending>;
  /** Since the stage told its window. */
  turns: Turns | undefined;
  /** When the stage was last heard. */
  heard: number;
  /** Asks for a word of the stage. */
  timer: NodeJS.Timeout | undefined;
}

const same = (bytes: Buffer): Buffer => bytes;

export class StageLink {
  readonly #options: LinkOptions;
  readonly #credentials: ChannelCredentials;
  #connection: Connection | undefined;
  #state: StageFacts | PenjingError = unavailable('the stage has not been reached yet');
  #requests = 0;
  #tries = 0;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #watchers = new Set<() => void>();

  /** Throws what certificates that are none throw. Its owner has it before `onChange` is called. */
  constructor(options: LinkOptions) {
    this.#options = options;
    this.#credentials = clientCredentials(options);
    this.#schedule(0);
  }

  /** What the stage takes, or why it takes nothing. */
  get state(): StageFacts | PenjingError {
    return this.#state;
  }

  /** Requests that were sent and not answered. */
  get underWay(): number {
    return this.#connection?.pending.size ?? 0;
  }

  /** Resolves when the stage takes requests; throws its reason when `until` fires. Failures that no waiting mends (`E_EPOCH`, `E_KEY`) are thrown at once. */
  async whenReady(until: AbortSignal): Promise<StageFacts> {
    for (;;) {
      if (!isPenjingError(this.#state)) return this.#state;
      if (this.#state.code !== 'E_UNAVAILABLE') throw this.#state;
      until.throwIfAborted();
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.#watchers.delete(done);
          until.removeEventListener('abort', done);
          resolve();
        };
        this.#watchers.add(done);
        until.addEventListener('abort', done, { once: true });
      });
    }
  }

  /** Sends tensors and waits for the outputs named. All stages know the request by `key`. Throws what the stages throw, `E_UNAVAILABLE` when one is lost, `E_OVERLOADED`, the reason of the signal. */
  async request(values: Feeds, outputs: readonly string[], signal?: AbortSignal, key?: string): Promise<Fetches> {
    const facts = this.#state;
    if (isPenjingError(facts)) throw facts;
    const bytes = Object.values(values).reduce((sum, tensor) => sum + wireSize(tensor), 0);
    if (bytes > facts.requestBytes) throw new PenjingError('E_LIMIT', `the request takes ${bytes} bytes, the stage takes ${facts.requestBytes}`, { hint: 'Send smaller batches, or raise limits.requestBytes of every stage.' });
    const connection = this.#connection;
    if (!connection?.turns) throw unavailable('the stage was lost');
    await connection.turns.take(signal);
    if (connection !== this.#connection) throw unavailable('the stage was lost');
    return this.#send(connection, values, outputs, signal, key);
  }

  #send({ writer, epoch, pending }: Connection, values: Feeds, outputs: readonly string[], signal: AbortSignal | undefined, key: string | undefined): Promise<Fetches> {
    const request = ++this.#requests;
    const { frameBytes } = this.#options.limits;
    function* frames(): Generator<Frame> {
      let piece = 0;
      for (const { tensors, last } of cutTensors(values, frameBytes)) yield { kind: 'run', epoch, request, piece: piece++, last, tensors, ...(piece === 1 && { outputs, ...(key !== undefined && { facts: { key } }) }) };
    }
    return new Promise<Fetches>((resolve, reject) => {
      const leave = (): void => {
        // The place in the window comes back with the answer.
        writer.urgent(streamFrame('cancel', epoch, { request }));
        reject(signal?.reason as Error);
      };
      const settle = <T>(then: (value: T) => void) => (value: T): void => {
        signal?.removeEventListener('abort', leave);
        then(value);
      };
      pending.set(request, { resolve: settle(resolve), reject: settle(reject) });
      signal?.addEventListener('abort', leave, { once: true });
      writer.send(frames(), signal).catch((error: unknown) => {
        writer.urgent(streamFrame('cancel', epoch, { request }));
        pending.get(request)?.reject(error);
      });
    });
  }

  /** Goes to where `place` now says; what is under way fails. Nothing happens where the stage stands still, or nobody knows where it is. */
  reconnect(why: string): void {
    if (!this.#hasMoved()) return;
    if (this.#connection) this.#lost(this.#connection, unavailable(why));
    this.#failures = 0;
    this.#schedule(0);
  }

  #hasMoved(): boolean {
    try {
      const place = this.#options.place(this.#tries);
      return place !== undefined && (place.address !== this.#connection?.address || place.epoch !== this.#connection.epoch);
    } catch {
      // The next try says so.
      return false;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    const over = new PenjingError('E_DISPOSED', 'the way to the stage was closed');
    if (this.#connection) this.#lost(this.#connection, over);
    this.#change(over);
  }

  /** Places come from others: one that is none is a failed try, like a stage that does not answer. */
  #connect(): void {
    try {
      const place = this.#options.place(this.#tries++);
      if (place) return this.#open(place);
      this.#change(unavailable('nobody knows where the stage is'));
    } catch (error) {
      this.#change(unavailable(`the stage cannot be looked for: ${error instanceof Error ? error.message : String(error)}`, error));
    }
    this.#schedule();
  }

  #open({ address, epoch }: StagePlace): void {
    const { limits, keepAlive: { intervalMs, timeoutMs }, tls } = this.#options;
    const client = new Client(formatAddress(parseAddress(address)), this.#credentials, {
      // Of its own, so that closing it closes the connection.
      'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0, 'grpc.initial_reconnect_backoff_ms': 60_000,
      'grpc.keepalive_time_ms': intervalMs, 'grpc.keepalive_timeout_ms': timeoutMs, 'grpc.keepalive_permit_without_calls': 1,
      'grpc-node.flow_control_window': RECEIVE_WINDOW, 'grpc.max_receive_message_length': limits.frameBytes + HEAD_BYTES, 'grpc.max_send_message_length': -1,
      ...(tls?.serverName !== undefined && { 'grpc.ssl_target_name_override': tls.serverName, 'grpc.default_authority': tls.serverName }),
    });
    const call = client.makeBidiStreamRequest(this.#options.path ?? STAGE_PATH, same, same, tokenMetadata(this.#options));
    const connection: Connection = {
      client, call, epoch, address, writer: new FrameWriter(call), reader: new FrameReader(limits.requestBytes), pending: new Map(), turns: undefined,
      heard: performance.now(), timer: undefined,
    };
    this.#connection = connection;
    this.#listen(connection);
    call.on('data', (bytes: Buffer) => {
      if (this.#connection !== connection) return;
      try {
        this.#take(connection, decodeFrame('response', bytes));
      } catch (error) {
        this.#lost(connection, unavailable(`the stream from ${address} is broken: ${error instanceof Error ? error.message : String(error)}`, error));
      }
    });
    call.on('error', (error: ServiceError) => this.#lost(connection, failureOf(error, address)));
    call.on('end', () => this.#lost(connection, unavailable(`${address} has ended the stream`)));
    connection.writer.urgent(streamFrame('hello', epoch));
  }

  /**
   * Pings of HTTP/2 find out whether the peer lives, not whether the stream does: when the length of a message was damaged, its reader waits for bytes that never come. So the stage
   * is greeted again and again, and answers each time. It has longer than for a ping, since megabytes may stand before the greeting.
   */
  #listen(connection: Connection): void {
    const { intervalMs, timeoutMs } = this.#options.keepAlive;
    connection.timer = setInterval(() => {
      const patience = (intervalMs + timeoutMs) * (connection.turns ? 3 : 1);
      if (performance.now() - connection.heard > patience) this.#lost(connection, unavailable(`${connection.address} does not answer`));
      else if (connection.turns) connection.writer.urgent(streamFrame('hello', connection.epoch));
    }, intervalMs);
  }

  #take(connection: Connection, frame: ReadFrame): void {
    connection.heard = performance.now();
    if (frame.epoch !== connection.epoch && frame.kind !== 'waiting') throw broken(`its epoch is ${frame.epoch}, not ${connection.epoch}`);
    if (frame.request === 0 && !frame.intact) throw broken('it was damaged');
    switch (frame.kind) {
      case 'ready': {
        const facts = factsOf(frame);
        this.#failures = 0;
        connection.turns ??= new Turns(Math.min(facts.window, this.#options.limits.window), this.#options.limits.waiting);
        // It says so again whenever it is asked.
        return isPenjingError(this.#state) ? this.#change(facts) : undefined;
      }
      case 'waiting':
        this.#change(errorOf(frame));
        return connection.turns?.refuse(errorOf(frame));
      case 'error':
        connection.reader.drop(frame.request);
        return this.#answered(connection, frame.request, ({ reject }) => reject(errorOf(frame)));
      default: {
        const letter = connection.reader.add(frame);
        if (!letter) return;
        const { values } = letter;
        this.#answered(connection, letter.request, ({ resolve, reject }) => (isPenjingError(values) ? reject(values) : resolve(values)));
      }
    }
  }

  #answered({ pending, turns }: Connection, request: number, settle: (pending: Pending) => void): void {
    const asked = pending.get(request);
    // Answered already, and cancelled at the same time.
    if (!asked) return;
    pending.delete(request);
    settle(asked);
    turns?.give();
  }

  #lost(connection: Connection, error: PenjingError): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    clearInterval(connection.timer);
    connection.writer.close();
    connection.call.cancel();
    connection.client.close();
    this.#change(error);
    for (const { reject } of connection.pending.values()) reject(error);
    connection.turns?.refuse(error);
    this.#schedule();
  }

  #schedule(delay = this.#delay()): void {
    clearTimeout(this.#retry);
    if (!this.#closed) this.#retry = setTimeout(() => !this.#connection && this.#connect(), delay);
  }

  /** Stages that lost the same one do not come back to it in the same moment. */
  #delay(): number {
    const { first, longest } = this.#options.backoff;
    return Math.min(longest, first * 2 ** Math.min(this.#failures++, 30)) * (0.75 + Math.random() / 2);
  }

  #change(state: StageFacts | PenjingError): void {
    this.#state = state;
    this.#options.onChange?.(state);
    for (const done of [...this.#watchers]) done();
  }
}

const codes: Partial<Record<status, `E_${string}`>> = { [status.UNAUTHENTICATED]: 'E_KEY', [status.FAILED_PRECONDITION]: 'E_EPOCH', [status.UNIMPLEMENTED]: 'E_UNSUPPORTED' };

function failureOf({ code, details }: ServiceError, address: string): PenjingError {
  const known = codes[code];
  return known ? new PenjingError(known, `${address}: ${details}`) : unavailable(`the stage at ${address} was lost: ${details}`);
}
