/** Five hundred jobs while workers and the broker die: none is lost, none is done twice in the result, memory stays where it is. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificates, noOpenssl } from '../packages/parallel/src/nats/testing/certificates.js';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { newKey } from '../packages/parallel/src/nats/testing/new-key.js';
import { hasResults, killAll, startWorker, writeLayers, writeRows } from './support/fleet.js';
import { penjing, startPenjing } from './support/penjing-process.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-'));
const at = (name: string): string => join(folder, name);
const ROWS = 1_000;

beforeAll(async () => {
  await writeLayers(at('model.onnx'), { size: 64, layers: 2 });
  writeRows(at('rows.jsonl'), { size: 64, rows: ROWS });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const batch = (output: string, ...more: string[]): string[] => ['batch', at('rows.jsonl'), '-m', at('model.onnx'), '-o', at(output), '--rows-per-job', '2', '--json', ...more];
const residentMb = (pid = 0): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
const progress = (output: string, least: number): Promise<void> => hasResults(at(output), least);

describe.skipIf(noNats !== undefined)(`a fleet${noNats ? ` (${noNats})` : ''}`, () => {
  it('does 500 jobs once each while workers and the broker are killed and stopped', async () => {
    await using server = await startNats();
    const fleet = ['--join', server.url, '--root', folder, '--ack-wait', '2'];
    const alone = penjing(batch('alone.jsonl'));
    const workers = await Promise.all([1, 2, 3].map(() => startWorker(server.url, folder, '--ack-wait', '2')));
    try {
      expect(await alone).toMatchObject({ code: 0 });
      const running = startPenjing(batch('fleet.jsonl', ...fleet));
      await progress('fleet.jsonl', 40);
      workers[0]?.process.kill('SIGKILL');
      workers[1]?.process.kill('SIGSTOP');
      await progress('fleet.jsonl', 120);
      const before = residentMb(workers[2]?.process.pid);
      await server.kill();
      await sleep(300);
      await server.start();
      await progress('fleet.jsonl', 250);
      // It wakes and goes on with jobs that others have done meanwhile.
      workers[1]?.process.kill('SIGCONT');
      const { code, stdout, stderr } = await running.ended;
      expect([code, stderr.includes('E_')]).toEqual([0, false]);
      expect(JSON.parse(stdout)).toMatchObject({ rows: ROWS, failed: 0 });
      expect(readFileSync(at('fleet.jsonl'), 'utf8')).toBe(readFileSync(at('alone.jsonl'), 'utf8'));
      expect(residentMb(workers[2]?.process.pid) - before).toBeLessThan(150);

      // The side that gives out jobs is killed: who goes on takes what is finished.
      const killed = startPenjing(batch('killed.jsonl', ...fleet));
      await progress('killed.jsonl', 60);
      killed.process.kill('SIGKILL');
      await killed.ended;
      const resumed = await penjing(batch('killed.jsonl', ...fleet, '--resume'));
      expect(resumed).toMatchObject({ code: 0 });
      expect((JSON.parse(resumed.stdout) as { resumed: number }).resumed).toBeGreaterThan(100);
      expect(readFileSync(at('killed.jsonl'), 'utf8')).toBe(readFileSync(at('alone.jsonl'), 'utf8'));
    } finally {
      await killAll(workers);
    }
  });

  it('ends with the reason where the disk of the results is full, and goes on when there is room', async (context) => {
    const disk = at('disk');
    mkdirSync(disk);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]).status !== 0) return context.skip('mounting is not allowed');
    try {
      await using server = await startNats();
      const workers = [await startWorker(server.url, folder, '--ack-wait', '2')];
      try {
        const argv = ['batch', at('rows.jsonl'), '-m', at('model.onnx'), '-o', join(disk, 'out.jsonl'), '--json', '--join', server.url, '--root', folder];
        const full = await penjing(argv);
        expect([full.code, (JSON.parse(full.stdout) as { error: { code: string } }).error.code]).toEqual([1, 'E_DISK_FULL']);
        expect(spawnSync('mount', ['-o', 'remount,size=64m', disk]).status).toBe(0);
        const { code, stdout } = await penjing([...argv, '--resume']);
        expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ rows: ROWS, failed: 0 })]);
      } finally {
        await killAll(workers);
      }
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it.skipIf(noOpenssl !== undefined)(`lets nobody in that it does not know${noOpenssl ? ` (${noOpenssl})` : ''}`, async () => {
    const paths = makeCertificates(folder);
    const key = newKey();
    writeFileSync(at('worker.nk'), key.seed);
    writeFileSync(at('other.nk'), newKey().seed);
    await using server = await startNats({ config: `tls { cert_file: ${JSON.stringify(paths.serverCert)}, key_file: ${JSON.stringify(paths.serverKey)} }\nauthorization { users: [ { nkey: ${key.publicKey} } ] }` });
    const url = server.url.replace('nats:', 'tls:');
    const as = async (...more: string[]): Promise<unknown> => {
      const { code, stdout } = await penjing(['worker', '--join', url, '--json', ...more]);
      return [code, (JSON.parse(stdout) as { error?: { code: string } }).error?.code];
    };
    expect(await Promise.all([
      as('--tls-ca', paths.ca),
      as('--tls-ca', paths.ca, '--nkey', at('other.nk')),
      as('--nkey', at('worker.nk')),
    ])).toEqual([[1, 'E_BROKER_AUTH'], [1, 'E_BROKER_AUTH'], [1, 'E_BROKER_TLS']]);
    const worker = await startWorker(url, folder, '--tls-ca', paths.ca, '--nkey', at('worker.nk'));
    worker.process.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
  });
});
