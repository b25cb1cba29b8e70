/** Requests of a chain of stages that were given up, told to all of its stages at once by a subject of a NATS server. */
import type { NatsConnection } from '@nats-io/nats-core';
import type { StageCancels } from '../grpc/stage-protocol.js';
import { checkChainName } from './chain-name.js';

/** The connection stays the caller's. Nothing is kept: a stage that is away hears of it from the one before. Keys are not to be guessed, so that who does not know one ends nothing. Throws `E_OPTION`. */
export function stageCancels(connection: NatsConnection, chain: string): StageCancels {
  checkChainName(chain);
  const subject = `penjing_stages.${chain}.cancel`;
  return {
    tell(key) {
      if (!connection.isClosed()) connection.publish(subject, key);
    },
    listen(cancelled) {
      const subscription = connection.subscribe(subject, { callback: (error, message) => void (!error && message.data.length <= 100 && cancelled(message.string())) });
      return () => subscription.unsubscribe();
    },
  };
}
