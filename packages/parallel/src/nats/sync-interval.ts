/** How long a server may keep to itself what it has acknowledged, as its JetStream configuration says. */
import type { NatsConnection } from '@nats-io/nats-core';

/** What servers older than 2.10 do, which say nothing and cannot be told otherwise. */
const UNTOLD_NS = 120e9;

/** The part of a reply to `$SYS.REQ.SERVER.PING.JSZ` that counts. */
export interface JetStreamReply {
  readonly data?: { readonly config?: { readonly sync_interval?: number; readonly sync_always?: boolean } };
}

/** Seconds between two syncs, 0 for one at each write; undefined for a reply without a configuration. */
export function syncSecondsOf({ data }: JetStreamReply): number | undefined {
  if (!data?.config) return undefined;
  const { sync_interval, sync_always } = data.config;
  return sync_always === true ? 0 : (sync_interval ?? UNTOLD_NS) / 1e9;
}

/** Undefined where this account may not ask: that is for the system account, and for accounts that it lets import the question. */
export async function askSyncSeconds(connection: NatsConnection): Promise<number | undefined> {
  try {
    return syncSecondsOf((await connection.request('$SYS.REQ.SERVER.PING.JSZ', '{"config":true}', { timeout: 500 })).json<JetStreamReply>());
  } catch {
    return undefined;
  }
}
