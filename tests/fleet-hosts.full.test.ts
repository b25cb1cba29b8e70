/** A fleet on four hosts (network namespaces): a broker and three workers do 500 jobs once each while workers, the broker and cables are lost and come back. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { hasResults, killAll, startWorkerUnder, writeLayers, writeRows } from './support/fleet.js';
import { makeNamespaces, noNamespaces } from './support/namespaces.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';

const JOBS = 500;
const ROWS = 2 * JOBS;
const BROKER = 0;
/** With workers; the last one gives out the jobs too. */
const HOSTS = [1, 2, 3] as const;
const missing = noNats ?? noNamespaces;

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-hosts-'));
const at = (name: string): string => join(folder, name);
const batch = (output: string, ...more: string[]): string[] => ['batch', at('rows.jsonl'), '-m', at('model.onnx'), '-o', at(output), '--rows-per-job', '2', '--json', ...more];

beforeAll(async () => {
  await writeLayers(at('model.onnx'), { size: 64, layers: 2 });
  writeRows(at('rows.jsonl'), { size: 64, rows: ROWS });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing !== undefined)(`a fleet on four hosts${missing ? ` (${missing})` : ''}`, () => {
  it('loses no job and has no result twice while workers are killed and stopped, the broker is killed, and cables are pulled', async () => {
    using hosts = makeNamespaces(1 + HOSTS.length);
    await using server = await startNats({ on: { address: hosts.addresses[BROKER]!, under: hosts.on(BROKER) } });
    const worker = (host: number): Promise<Running> => startWorkerUnder(hosts.on(host), server.url, folder, '--ack-wait', '2');
    const alone = penjing(batch('alone.jsonl'));
    const workers = await Promise.all(HOSTS.map(worker));
    try {
      expect(await alone).toMatchObject({ code: 0 });
      const running = startPenjing(batch('fleet.jsonl', '--join', server.url, '--root', folder, '--ack-wait', '2'), { under: hosts.on(HOSTS[2]) });
      workers.push(running);
      /** So many jobs more are done, whatever is lost. */
      let least = 0;
      const goesOn = (jobs = 40): Promise<void> => Promise.race([hasResults(at('fleet.jsonl'), (least += jobs)), running.ended.then(({ stdout, stderr }) => Promise.reject(new Error(`the run ended early: ${stdout}${stderr}`)))]);

      await goesOn();
      workers[0]!.process.kill('SIGKILL');
      workers[1]!.process.kill('SIGSTOP');
      await goesOn();
      const replaced = worker(HOSTS[0]);
      replaced.then((one) => workers.push(one), () => {});
      await server.kill();
      await sleep(300);
      await server.start();
      await goesOn();
      // It wakes with jobs that others have done meanwhile; one that comes anew takes part.
      workers[1]!.process.kill('SIGCONT');
      await replaced;
      hosts.link(HOSTS[1], 'down');
      await goesOn();
      hosts.link(HOSTS[1], 'up');
      await goesOn();
      // Nobody reaches the broker, for longer than a job may be silent.
      hosts.link(BROKER, 'down');
      await sleep(3_000);
      hosts.link(BROKER, 'up');
      await goesOn();

      const { code, stdout, stderr } = await running.ended;
      expect([code, stderr.includes('E_')]).toEqual([0, false]);
      expect(JSON.parse(stdout)).toMatchObject({ rows: ROWS, failed: 0, resumed: 0 });
      expect(readFileSync(at('fleet.jsonl'), 'utf8')).toBe(readFileSync(at('alone.jsonl'), 'utf8'));
      expect(readFileSync(at('fleet.jsonl'), 'utf8').split('\n')).toHaveLength(ROWS + 1);
    } finally {
      await killAll(workers);
    }
  });
});
