/** Brings the processes of a training together: rank 0 waits for the others, who look for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPenjingError, PenjingError } from '@penjing/core';
import { Client, type ClientDuplexStream, Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { widenConnections, widenStreams } from '../receive-window.js';
import { checkExposure, checkToken, clientCredentials, formatAddress, parseAddress, serverCredentials, type StageSecurity, tokenMetadata } from '../security.js';
import { jsonFrame, jsonOf } from './frame.js';
import { type FrameStream, frameStream, peerError, TRAINING_PATH } from './frame-stream.js';
import { hubExchange } from './hub.js';
import { memberExchange } from './member.js';
import type { TrainingExchange } from './training-exchange.js';
import { CHUNK } from './vector-tape.js';

export interface JoinTrainingOptions {
  /** Of rank 0, as `HOST:PORT`: it listens there, the others connect. */
  readonly address: string;
  readonly rank: number;
  readonly world: number;
  /** A token of all ranks; TLS, with rank 0 as the server. */
  readonly security?: StageSecurity | undefined;
  /** How long to wait until all are there; ten minutes when absent. */
  readonly joinMs?: number | undefined;
  /** A rank that is silent for so long is lost; 15 seconds when absent. The end of a process is noticed at once. */
  readonly lostAfterMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

const JOIN_MS = 600_000;
const LOST_AFTER_MS = 15_000;
const RETRY_MS = 300;
const HELLO_MS = 10_000;
const PROTOCOL = 1;
/** Bytes on their way to one rank: two chunks. With the 64 KB that are usual a round of 16 MB took more than four times as long. */
const WINDOW = 8 * CHUNK;
/** What ranks say beside: names and shapes of all weights. */
const SAID_BYTES = 16 << 20;

interface Hello {
  readonly protocol: number;
  readonly rank: number;
  readonly world: number;
}

/** Settles when all ranks are there. Throws `E_OPTION` for a rank or address that is none, `E_KEY`, `E_PEER` when a rank does not come or is there twice, `E_LISTEN`, and the reason of the signal. */
export async function joinTraining(options: JoinTrainingOptions): Promise<TrainingExchange> {
  const { rank, world, security = {} } = options;
  if (!Number.isInteger(world) || world < 2 || world > 256) throw new PenjingError('E_OPTION', `${world} ranks`, { hint: 'A training together has 2 to 256.' });
  if (!Number.isInteger(rank) || rank < 0 || rank >= world) throw new PenjingError('E_OPTION', `rank ${rank} of ${world}`, { hint: `Ranks are 0 to ${world - 1}.` });
  options.signal?.throwIfAborted();
  if (rank === 0) checkExposure(parseAddress(options.address).host, security, false);
  return rank === 0 ? awaitMembers(options) : findHub(options);
}

function channelOptions(lostAfterMs = LOST_AFTER_MS): Record<string, number> {
  const interval = Math.ceil(lostAfterMs / 3);
  return {
    // Of clients; servers are widened by hand.
    'grpc-node.flow_control_window': WINDOW,
    'grpc.max_receive_message_length': Math.max(4 * CHUNK, SAID_BYTES) + 1024, 'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': interval, 'grpc.keepalive_timeout_ms': lostAfterMs - interval, 'grpc.keepalive_permit_without_calls': 1,
  };
}

const raw = { requestStream: true, responseStream: true, requestSerialize: (bytes: Buffer) => bytes, requestDeserialize: (bytes: Buffer) => bytes, responseSerialize: (bytes: Buffer) => bytes, responseDeserialize: (bytes: Buffer) => bytes } as const;

async function awaitMembers({ address, world, security = {}, joinMs = JOIN_MS, lostAfterMs, signal, onNote }: JoinTrainingOptions): Promise<TrainingExchange> {
  const server = new Server(channelOptions(lostAfterMs));
  widenStreams(server, WINDOW);
  const members = new Map<number, FrameStream>();
  let exchange: Omit<TrainingExchange, typeof Symbol.asyncDispose> | undefined;
  let onComplete = (): void => {};
  const complete = new Promise<void>((resolve) => (onComplete = resolve));
  async function admit(call: ServerDuplexStream<Buffer, Buffer>): Promise<void> {
    let rank: number | undefined;
    const stream = frameStream(call, 'a rank', (error) => {
      if (rank === undefined || members.get(rank) !== stream) return;
      if (exchange) exchange.fail(error);
      else members.delete(rank);
    });
    const late = setTimeout(() => stream.fail(peerError('the rank did not say who it is')), HELLO_MS);
    try {
      checkToken(call.metadata, security);
      const hello = jsonOf(await stream.next('hello', 0)) as Hello;
      const fault = hello.protocol !== PROTOCOL ? 'another version of Penjing' : hello.world !== world ? `${hello.world} ranks, there are ${world}` : !Number.isInteger(hello.rank) || hello.rank < 1 || hello.rank >= world ? `rank ${hello.rank} of ${world}` : undefined;
      if (fault !== undefined) throw new PenjingError('E_OPTION', `rank 0 was asked for ${fault}`);
      if (exchange) throw peerError('the training has begun without this rank');
      if (members.has(hello.rank)) throw peerError(`rank ${hello.rank} is there already`);
      rank = hello.rank;
      members.set(rank, stream);
      onNote?.(`${members.size + 1} of ${world} ranks are there`);
      if (members.size === world - 1) onComplete();
    } catch (error) {
      stream.fail(error);
    } finally {
      clearTimeout(late);
    }
  }
  server.register(TRAINING_PATH, (call: ServerDuplexStream<Buffer, Buffer>) => void admit(call), raw.responseSerialize, raw.requestDeserialize, 'bidi');
  const close = async (): Promise<void> => {
    for (const member of members.values()) member.end();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        server.forceShutdown();
        resolve();
      }, 1000);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  };
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(formatAddress(parseAddress(address)), serverCredentials(security), (error) => (error ? reject(new PenjingError('E_LISTEN', `rank 0 cannot listen on ${address}: ${error.message}`, { hint: 'Choose another port.', cause: error })) : resolve()));
    });
    widenConnections(server, WINDOW);
    await within(complete, joinMs, signal, () => peerError(`${[...Array(world).keys()].filter((rank) => rank > 0 && !members.has(rank)).map((rank) => `rank ${rank}`).join(', ')} did not come within ${joinMs / 1000} seconds`));
    const ordered = Array.from({ length: world - 1 }, (_, i) => members.get(i + 1)!);
    exchange = hubExchange(ordered);
    for (const member of ordered) await member.send(jsonFrame('welcome', 0, {}));
    return { ...exchange, [Symbol.asyncDispose]: close };
  } catch (error) {
    for (const member of members.values()) member.fail(error);
    await close();
    throw error;
  }
}

async function findHub({ address, rank, world, security = {}, joinMs = JOIN_MS, lostAfterMs, signal, onNote }: JoinTrainingOptions): Promise<TrainingExchange> {
  const end = performance.now() + joinMs;
  const override = security.tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': security.tls.serverName };
  const client = new Client(formatAddress(parseAddress(address)), clientCredentials(security), { ...channelOptions(lostAfterMs), ...override, 'grpc.initial_reconnect_backoff_ms': RETRY_MS, 'grpc.max_reconnect_backoff_ms': 2000 });
  try {
    for (let tried = 0; ; tried++) {
      let unreachable = false;
      const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(TRAINING_PATH, raw.requestSerialize, raw.responseDeserialize, tokenMetadata(security));
      call.once('error', ({ code }: Error & { readonly code?: status }) => (unreachable = code === status.UNAVAILABLE));
      const stream = frameStream(call, 'rank 0', () => {});
      try {
        const welcome = stream.send(jsonFrame('hello', 0, { protocol: PROTOCOL, rank, world } satisfies Hello)).then(() => stream.next('welcome', 0));
        await within(welcome, end - performance.now(), signal, () => peerError(`the other ranks did not come within ${joinMs / 1000} seconds`));
        return {
          ...memberExchange(stream, rank, world),
          async [Symbol.asyncDispose]() {
            stream.end();
            client.close();
          },
        };
      } catch (error) {
        stream.end();
        call.cancel();
        signal?.throwIfAborted();
        if (!unreachable || performance.now() + RETRY_MS >= end) throw unreachable && isPenjingError(error) ? peerError(`rank 0 cannot be reached at ${address}`) : error;
        if (tried === 0) onNote?.(`rank 0 is not at ${address} yet`);
        await sleep(RETRY_MS, undefined, { ...(signal && { signal }) }).catch((aborted: unknown) => {
          signal?.throwIfAborted();
          throw aborted;
        });
      }
    }
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Throws `late()` after so long, and the reason of the signal. */
async function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal | undefined, late: () => PenjingError): Promise<T> {
  const gate = new AbortController();
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => (abort = () => reject(signal!.reason as Error)));
  signal?.addEventListener('abort', abort, { once: true });
  // One that fired before tells nobody.
  if (signal?.aborted) abort();
  const timeout = sleep(Math.max(0, ms), undefined, { signal: gate.signal, ref: false }).then(() => Promise.reject(late()), () => new Promise<never>(() => {}));
  try {
    return await Promise.race([promise, timeout, aborted]);
  } finally {
    gate.abort();
    signal?.removeEventListener('abort', abort);
  }
}
