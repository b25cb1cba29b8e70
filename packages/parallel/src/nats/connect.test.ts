/** Peers that a server knows, does not know, or cannot trust. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { connectNats, type NatsWarning } from './connect.js';
import { readCredentials, readTls } from './credentials.js';
import { isAboveFloor } from './server-version.js';
import { makeCertificates, noOpenssl, pem } from './testing/certificates.js';
import { newKey } from './testing/new-key.js';
import { freePort, natsVersion, noNats, startNats } from './testing/nats-server.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-connect-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('says that nobody answers', async () => {
  await expect(connectNats({ servers: `nats://127.0.0.1:${await freePort()}` })).rejects.toMatchObject({ code: 'E_BROKER', hint: expect.stringContaining('nats-server') as string });
});

it('tells a seed from credentials, and shows neither', async () => {
  const { seed } = newKey();
  const path = join(folder, 'user.nk');
  writeFileSync(path, `# worker one\n${seed}\n`);
  expect(await readCredentials(path)).toEqual({ kind: 'nkey', seed });
  writeFileSync(path, 'password');
  await expect(readCredentials(path)).rejects.toMatchObject({ code: 'E_CONFIG' });
  await expect(readCredentials(join(folder, 'none'))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(connectNats({ servers: 'a', credentials: { kind: 'nkey', seed: `${seed.slice(0, -3)}AAA` } })).rejects.toMatchObject({ code: 'E_CONFIG', message: expect.not.stringContaining(seed.slice(0, 8)) as string });
});

describe.skipIf(noNats !== undefined)(`with a server${noNats ? ` (${noNats})` : ''}`, () => {
  it('knows NKeys, passwords and tokens, and refuses others', async () => {
    const mine = newKey();
    await using server = await startNats({ config: `authorization { users: [ { nkey: ${mine.publicKey} }, { user: ann, password: secret } ] }` });
    const servers = server.url;
    const warnings: NatsWarning[] = [];
    await using known = await connectNats({ servers, credentials: { kind: 'nkey', seed: mine.seed }, onWarning: (warning) => warnings.push(warning) });
    expect(known.info?.jetstream).toBe(true);
    expect(warnings.some(({ code }) => code === 'version')).toBe(!isAboveFloor(natsVersion()));
    await (await connectNats({ servers, credentials: { kind: 'password', user: 'ann', password: 'secret' } })).close();
    await (await connectNats({ servers: servers.replace('//', '//ann:secret@') })).close();
    const refused = { code: 'E_BROKER_AUTH', hint: expect.any(String) as string };
    await expect(connectNats({ servers })).rejects.toMatchObject(refused);
    await expect(connectNats({ servers, credentials: { kind: 'nkey', seed: newKey().seed } })).rejects.toMatchObject(refused);
    await expect(connectNats({ servers, credentials: { kind: 'password', user: 'ann', password: 'wrong' } })).rejects.toMatchObject(refused);
    await expect(connectNats({ servers, credentials: { kind: 'token', token: 'wrong' } })).rejects.toMatchObject(refused);
  });

  it('asks for JetStream only where it is needed', async () => {
    await using server = await startNats({ jetstream: false });
    await expect(connectNats({ servers: server.url })).rejects.toMatchObject({ code: 'E_BROKER', message: expect.stringContaining('JetStream') as string });
    await (await connectNats({ servers: server.url, jetstream: false })).close();
  });

  it('refuses a server that takes no messages of the size of a job', async () => {
    await using server = await startNats({ config: 'max_payload: 1024' });
    await expect(connectNats({ servers: server.url })).rejects.toMatchObject({ code: 'E_BROKER', hint: expect.stringContaining('max_payload') as string });
  });

  it('comes back after the server was killed', async () => {
    await using server = await startNats();
    const events: string[] = [];
    let back = (): void => {};
    const again = new Promise<void>((resolve) => (back = resolve));
    await using connection = await connectNats({ servers: server.url, onWarning: ({ code }) => (events.push(code), code === 'reconnected' && back()) });
    await server.kill();
    await server.start();
    await again;
    await connection.flush();
    expect(events).toEqual(expect.arrayContaining(['disconnected', 'reconnected']));
  });

  it.skipIf(noOpenssl !== undefined)(`speaks TLS with who is trusted${noOpenssl ? ` (${noOpenssl})` : ''}`, async () => {
    const paths = makeCertificates(folder);
    const mine = newKey();
    const tls = (verify: boolean): string => `tls { cert_file: ${JSON.stringify(paths.serverCert)}, key_file: ${JSON.stringify(paths.serverKey)}, ca_file: ${JSON.stringify(paths.ca)}, verify: ${verify} }\n`;
    const credentials = { kind: 'nkey', seed: mine.seed } as const;
    const ca = pem(paths.ca);
    {
      await using server = await startNats({ config: `${tls(false)}authorization { users: [ { nkey: ${mine.publicKey} } ] }` });
      const servers = server.url.replace('nats:', 'tls:');
      await (await connectNats({ servers, credentials, tls: { ca } })).close();
      // The server asks for TLS where the address does not.
      await (await connectNats({ servers: server.url, credentials, tls: { ca } })).close();
      await expect(connectNats({ servers, credentials })).rejects.toMatchObject({ code: 'E_BROKER_TLS' });
      await expect(connectNats({ servers: server.url, credentials })).rejects.toMatchObject({ code: 'E_BROKER_TLS' });
      await expect(connectNats({ servers, tls: { ca } })).rejects.toMatchObject({ code: 'E_BROKER_AUTH' });
      await expect(connectNats({ servers, tls: { ca }, credentials: { kind: 'nkey', seed: newKey().seed } })).rejects.toMatchObject({ code: 'E_BROKER_AUTH' });
    }
    {
      await using server = await startNats({ config: tls(true) });
      const servers = server.url.replace('nats:', 'tls:');
      const files = await readTls({ ca: paths.ca, cert: paths.clientCert, key: paths.clientKey });
      await (await connectNats({ servers, tls: files })).close();
      await expect(connectNats({ servers, tls: { ca }, timeout: 1_500 })).rejects.toMatchObject({ code: expect.stringMatching(/^E_BROKER/) as string });
    }
    await using plain = await startNats();
    await expect(connectNats({ servers: plain.url.replace('nats:', 'tls:'), tls: { ca } })).rejects.toMatchObject({ code: 'E_BROKER_TLS' });
  });
});
