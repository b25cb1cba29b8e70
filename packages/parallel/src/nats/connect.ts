/** Connects to a NATS server: who may, over what, with what the server must be able to do; goes on for ever afterwards. */
import type { ConnectionOptions, NatsConnection, ServerInfo } from '@nats-io/nats-core';
import { errors } from '@nats-io/nats-core';
import { connect as connectNode } from '@nats-io/transport-node';
import { PenjingError } from '@penjing/core';
import { authenticatorOf, type NatsCredentials, type NatsTls } from './credentials.js';
import { parseServers } from './parse-servers.js';
import { floorVersions, isAboveFloor } from './server-version.js';
import { askSyncSeconds } from './sync-interval.js';

export interface NatsWarning {
  readonly code: 'version' | 'payload' | 'sync' | 'plain' | 'disconnected' | 'reconnected' | 'server';
  readonly message: string;
}

export interface NatsOptions {
  /** `nats://host:4222` or `tls://host:4222`, one or several of a cluster; `user:password@` or `token@` may stand before the host. */
  readonly servers: string | readonly string[];
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  /** Shown by the server's monitoring. */
  readonly name?: string;
  /** Refuses a server without JetStream, which jobs and membership need; true when absent. */
  readonly jetstream?: boolean;
  /** Milliseconds for the first connection; 10 s when absent. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  readonly onWarning?: (warning: NatsWarning) => void;
}

/** A message of a job or of membership is at most 64 KB; headers and a margin come on top. */
const LEAST_PAYLOAD = 128 * 1024;
/** From 32 MB on servers have corrupted the index of a stream; the documentation of NATS advises 8. */
const MOST_PAYLOAD = 8 * 2 ** 20;

/**
 * Fails at once where the first connection fails: `E_BROKER_AUTH` for a peer the server does not know, `E_BROKER_TLS` for a certificate
 * that is not trusted or a server without TLS where it was asked for, `E_BROKER` otherwise. After that the client connects anew for
 * ever, at random distances of one to three seconds. Close with `connection.close()`, or `await using` (drains first).
 */
export async function connectNats({ servers, credentials, tls, name = 'penjing', jetstream = true, timeout = 10_000, signal, onWarning }: NatsOptions): Promise<NatsConnection> {
  signal?.throwIfAborted();
  const parsed = parseServers(servers);
  const who = credentials ?? parsed.credentials;
  const encrypted = parsed.tls || tls !== undefined;
  const options: ConnectionOptions = {
    servers: [...parsed.hosts],
    name,
    timeout,
    ...(who && { authenticator: authenticatorOf(who) }),
    ...(encrypted && { tls: { ...tls } }),
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 1_000,
    reconnectJitter: 2_000,
    reconnectJitterTLS: 2_000,
    // Half-open connections (a cable pulled, a machine gone) show after half a minute instead of four.
    pingInterval: 10_000,
    maxPingOut: 2,
  };
  const connection = await connectNode(options).catch((cause: unknown) => {
    throw connectError(cause, parsed.hosts, encrypted, who !== undefined);
  });
  try {
    signal?.throwIfAborted();
    const { info } = connection;
    if (!info) throw new PenjingError('E_BROKER', `${parsed.hosts[0]} did not say what it is`);
    checkServer(info, jetstream);
    for (const warning of warningsOf(info, who, encrypted)) onWarning?.(warning);
    const sync = onWarning && jetstream ? await askSyncSeconds(connection) : undefined;
    if (sync !== undefined && sync > 0) {
      onWarning?.({ code: 'sync', message: `the server syncs its files every ${sync} s: what it acknowledged since is lost when the power fails. Set \`jetstream { sync_interval: always }\`.` });
    }
  } catch (error) {
    await connection.close();
    throw error;
  }
  if (onWarning) void reportStatus(connection, onWarning);
  return connection;
}

function checkServer(info: ServerInfo, jetstream: boolean): void {
  if (jetstream && info.jetstream !== true) {
    throw new PenjingError('E_BROKER', `the NATS server at ${info.host}:${info.port} runs without JetStream`, { hint: 'Start it with `-js -sd FOLDER`, or put `jetstream { store_dir: … }` into its configuration.' });
  }
  if (info.max_payload < LEAST_PAYLOAD) {
    throw new PenjingError('E_BROKER', `the NATS server takes messages of ${info.max_payload} bytes at most; jobs need ${LEAST_PAYLOAD}`, { hint: 'Raise max_payload (1 MB is its default).' });
  }
}

function* warningsOf(info: ServerInfo, who: NatsCredentials | undefined, encrypted: boolean): Generator<NatsWarning> {
  if (!isAboveFloor(info.version)) {
    yield { code: 'version', message: `nats-server ${info.version} may lose what it has acknowledged; run one of ${floorVersions} or newer (what Debian ships is for tests on one machine)` };
  }
  if (info.max_payload > MOST_PAYLOAD) yield { code: 'payload', message: `max_payload of the server is ${info.max_payload} bytes; above ${MOST_PAYLOAD} it can run out of memory` };
  const secret = who?.kind === 'password' || who?.kind === 'token';
  if (secret && !encrypted && info.tls_required !== true && info.tls_available !== true && !isLoopback(info.client_ip)) {
    yield { code: 'plain', message: 'a password or token crosses the network unencrypted; use tls://, or an NKey, which sends no secret' };
  }
}

/** What the server sees of this client. */
function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.'));
}

async function reportStatus(connection: NatsConnection, onWarning: (warning: NatsWarning) => void): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'disconnect') onWarning({ code: 'disconnected', message: `lost the NATS server ${status.server}; connecting anew` });
    else if (status.type === 'reconnect') onWarning({ code: 'reconnected', message: `connected to the NATS server ${status.server} again` });
    // Asking what only a system account may ask is no news.
    else if (status.type === 'error' && !status.error.message.includes('$SYS.REQ.SERVER')) onWarning({ code: 'server', message: status.error.message });
  }
}

function connectError(cause: unknown, hosts: readonly string[], encrypted: boolean, known: boolean): PenjingError {
  const where = hosts.join(', ');
  const reasons = causesOf(cause);
  const text = reasons.map(({ message }) => message).join(': ');
  if (reasons.some((error) => error.name === 'AuthorizationError' || error.name === 'UserAuthenticationExpiredError')) {
    return new PenjingError('E_BROKER_AUTH', `the NATS server at ${where} refused this peer${known ? '' : ', which named no credentials'}`, {
      cause,
      hint: known ? 'Check that the server lists the public key, user or token of these credentials.' : 'Give an NKey seed, credentials, or user and password.',
    });
  }
  if (reasons.some((error) => TLS_PROBLEM.test(`${(error as { code?: string }).code ?? ''} ${error.message}`))) {
    return new PenjingError('E_BROKER_TLS', `no trusted TLS connection to the NATS server at ${where}: ${text}`, {
      cause,
      hint: encrypted ? 'Give the certificate of the authority that signed the one of the server, and use the name that stands in it.' : 'The server wants TLS: use tls:// and give its authority.',
    });
  }
  return new PenjingError('E_BROKER', `no NATS server answers at ${where}: ${text}`, { cause, hint: 'Start one (`nats-server -js -sd FOLDER`), or check the address.' });
}

const TLS_PROBLEM = /CERT|SSL|TLS|self.signed|issuer|altname|tls|certificate/i;

function causesOf(error: unknown): Error[] {
  const found: Error[] = [];
  for (let next: unknown = error; next instanceof Error && found.length < 5; next = next.cause) found.push(next);
  return found;
}

/** True for a failure that passes when the server is back: nothing was refused, the answer is missing. */
export function isPassing(error: unknown): boolean {
  return causesOf(error).some(
    (cause) =>
      cause instanceof errors.TimeoutError || cause instanceof errors.NoRespondersError || cause instanceof errors.RequestError ||
      cause instanceof errors.ConnectionError || /timeout|disconnect|no responders|stale connection/i.test(cause.message),
  );
}
