/** Names of chains, and what becomes of a subscription when its stage cannot begin. */
import type { NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { serveStage, type StageCancels } from '../grpc/index.js';
import { handExecutor } from '../testing/hand-executor.js';
import { stageCancels } from './stage-cancels.js';

test('a name that would hear other chains is refused', () => {
  for (const chain of ['*', '>', 'a.b', '', 'a b', 'x'.repeat(33)]) expect(() => stageCancels({} as NatsConnection, chain)).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  expect(stageCancels({} as NatsConnection, 'fleet-1_b')).toBeDefined();
});

test('a stage that cannot begin listens no more', async () => {
  let listening = 0;
  const cancels: StageCancels = {
    tell() {},
    listen() {
      listening++;
      return () => void listening--;
    },
  };
  const executor = handExecutor(['x'], ['y']);
  const begin = (tls: { readonly key?: string }) => serveStage({ epoch: 1, cancels, listen: '127.0.0.1:0', next: '127.0.0.1:1', graceMs: 0, open: async () => executor, tls });
  // A key without its certificate.
  await expect(begin({ key: 'none' })).rejects.toThrow('certificate chain');
  expect([listening, executor.disposed]).toEqual([0, true]);
  // What fails later.
  await expect(begin({})).rejects.toMatchObject({ code: 'E_OPTION' });
  expect(listening).toBe(0);
});
