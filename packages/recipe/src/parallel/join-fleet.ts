/** Connects to the broker of a fleet as the command line says it. */
import type { WorkQueue } from '@penjing/parallel';
import { memoryQueue } from '@penjing/parallel';
import type { connectNats as connect } from '@penjing/parallel/nats';

/** A server, and who is asking. */
export interface BrokerOptions {
  /** `nats://` or `tls://` addresses. */
  readonly servers: string;
  /** File with an NKey seed, or with credentials. */
  readonly nkey?: string | undefined;
  readonly tlsCa?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  /** Fleets on one server share nothing. */
  readonly fleet?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface JoinOptions extends BrokerOptions {
  /** Seconds without a sign of life after which a job goes to another worker. */
  readonly ackWait?: number | undefined;
}

export interface JoinedFleet extends AsyncDisposable {
  readonly queue: WorkQueue;
}

/** Throws what `connectNats` throws. */
export async function connectBroker({ servers, nkey, tlsCa, tlsCert, tlsKey, signal, onNote }: BrokerOptions): ReturnType<typeof connect> {
  // The client of NATS takes a tenth of a second to load, and few runs need it.
  const { connectNats, readCredentials, readTls } = await import('@penjing/parallel/nats');
  const tls = tlsCa !== undefined || tlsCert !== undefined ? await readTls({ ...(tlsCa !== undefined && { ca: tlsCa }), ...(tlsCert !== undefined && { cert: tlsCert }), ...(tlsKey !== undefined && { key: tlsKey }) }) : undefined;
  return connectNats({
    servers,
    ...(nkey !== undefined && { credentials: await readCredentials(nkey) }),
    ...(tls && { tls }),
    ...(signal && { signal }),
    ...(onNote && { onWarning: ({ message }) => onNote(message) }),
  });
}

/** Throws what `connectNats` and `jetStreamQueue` throw. */
export async function joinFleet(options: JoinOptions): Promise<JoinedFleet> {
  const { fleet, ackWait } = options;
  const connection = await connectBroker(options);
  try {
    const { jetStreamQueue } = await import('@penjing/parallel/nats');
    const queue = await jetStreamQueue(connection, { ...(fleet !== undefined && { fleet }), ...(ackWait !== undefined && { ackWait: ackWait * 1000 }) });
    return {
      queue,
      async [Symbol.asyncDispose]() {
        await queue[Symbol.asyncDispose]();
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** The same in this process alone. */
export function localFleet(): JoinedFleet {
  const queue = memoryQueue();
  return { queue, [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose]() };
}
