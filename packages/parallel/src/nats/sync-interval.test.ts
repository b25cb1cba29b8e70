/** Who may ask a server how often it syncs is warned, or is not. */
import { describe, expect, it } from 'vitest';
import { connectNats, type NatsWarning } from './connect.js';
import { syncSecondsOf } from './sync-interval.js';
import { natsVersion, noNats, startNats } from './testing/nats-server.js';

it.each<readonly [string, object, number]>([
  ['2.15.2 as it comes', { sync_interval: 120_000_000_000, strict: true }, 120],
  ['2.15.2 with `always`', { sync_interval: 120_000_000_000, sync_always: true, strict: true }, 0],
  ['2.15.2 with "5s"', { sync_interval: 5_000_000_000, strict: true }, 5],
  ['2.9.10, which cannot be told', { max_memory: 18_957_044_736 }, 120],
])('%s', (_, config, seconds) => {
  expect(syncSecondsOf({ data: { config } })).toBe(seconds);
});

it('takes what is no configuration for no answer', () => {
  expect([syncSecondsOf({}), syncSecondsOf({ data: {} })]).toEqual([undefined, undefined]);
});

/** As docs/parallel.md says it. */
const accounts = `
system_account: SYS
accounts {
  SYS { users: [ { user: admin, password: admin } ], exports: [ { service: "$SYS.REQ.SERVER.PING.JSZ" } ] }
  JOBS { jetstream: enabled, users: [ { user: ann, password: secret } ], imports: [ { service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" } } ] }
  OTHERS { jetstream: enabled, users: [ { user: bob, password: secret } ] }
}`;

async function warningsOf(url: string, user: string): Promise<readonly NatsWarning[]> {
  const warnings: NatsWarning[] = [];
  await (await connectNats({ servers: url.replace('//', `//${user}@`), onWarning: (warning) => warnings.push(warning) })).close();
  return warnings.filter(({ code }) => code !== 'version');
}

describe.skipIf(noNats !== undefined)(`a server${noNats ? ` (${noNats})` : ''}`, () => {
  it('that syncs every two minutes is warned of, to those who may ask; others hear nothing of it', async () => {
    await using server = await startNats({ config: accounts });
    expect(await warningsOf(server.url, 'ann:secret')).toEqual([{ code: 'sync', message: expect.stringContaining('every 120 s') as string }]);
    expect(await warningsOf(server.url, 'admin:admin')).toEqual([{ code: 'sync', message: expect.stringContaining('sync_interval: always') as string }]);
    expect(await warningsOf(server.url, 'bob:secret')).toEqual([]);
  });

  const old = noNats === undefined && natsVersion().startsWith('2.9.') ? `nats-server ${natsVersion()} has no sync_interval` : undefined;
  it.skipIf(old !== undefined)(`that syncs at each write is not${old ? ` (${old})` : ''}`, async () => {
    await using server = await startNats({ config: accounts, store: 'sync_interval: always' });
    expect(await warningsOf(server.url, 'ann:secret')).toEqual([]);
  });
});
