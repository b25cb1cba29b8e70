/** A fleet on four hosts (network namespaces): a broker and three workers do 500 jobs once each while workers, the broker and cables are lost and come back. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { Processes, resultsOf, writeLayers, writeRows } from './support/fleet.js';
import { makeNamespaces, noNamespaces } from './support/namespaces.js';
import type { Running } from './support/penjing-process.js';

const JOBS = 500;
const ROWS = 2 * JOBS;
/** Of a run when something is lost. */
const JOBS_LEFT = 200;
/** A process may take as long as the test. */
const milliseconds = 600_000;
/** So long a run may have no new result. */
const PATIENCE = 60_000;
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

/** Runs of the same jobs, one after the other for as long as the test needs them: on a quick machine one is over before everything has been lost once. */
class Runs {
  readonly #start: (output: string) => Running;
  readonly #ended: string[] = [];
  #current: { readonly output: string; readonly running: Running; seen: number } | undefined;

  constructor(start: (output: string) => Running) {
    this.#start = start;
  }

  /** Resolves when so many jobs more are done, whatever is lost, and enough are left of a run. A run that is nearly over is awaited, and followed by another one. */
  async goOn(jobs = 40): Promise<void> {
    let moved = performance.now();
    for (let done = 0; ; ) {
      const current = (this.#current ??= this.#next());
      const results = await Promise.race([resultsOf(at(current.output)), current.running.ended.then(() => JOBS)]);
      if (results > current.seen) {
        done += results - current.seen;
        current.seen = results;
        moved = performance.now();
      }
      if (results > JOBS - JOBS_LEFT) await this.end();
      else if (done >= jobs) return;
      else if (performance.now() - moved > PATIENCE) throw new Error(`no progress after ${results} of ${JOBS} jobs`);
      else await sleep(20);
    }
  }

  /** Awaits the run that is under way; gives the outputs of all. */
  async end(): Promise<readonly string[]> {
    const ending = this.#current;
    this.#current = undefined;
    if (!ending) return this.#ended;
    const { code, stdout, stderr } = await ending.running.ended;
    expect([code, stdout, stderr]).toEqual([0, expect.any(String), expect.not.stringContaining('E_')]);
    expect(JSON.parse(stdout)).toMatchObject({ rows: ROWS, failed: 0, resumed: 0 });
    this.#ended.push(ending.output);
    return this.#ended;
  }

  #next(): { readonly output: string; readonly running: Running; seen: number } {
    const output = `fleet-${this.#ended.length}.jsonl`;
    return { output, running: this.#start(output), seen: 0 };
  }
}

describe.skipIf(missing !== undefined)(`a fleet on four hosts${missing ? ` (${missing})` : ''}`, () => {
  it('loses no job and has no result twice while workers are killed and stopped, the broker is killed, and cables are pulled', async () => {
    using hosts = makeNamespaces(1 + HOSTS.length);
    await using server = await startNats({ on: { address: hosts.addresses[BROKER]!, under: hosts.on(BROKER) } });
    await using processes = new Processes();
    const worker = (host: number): Promise<Running> => processes.worker(server.url, folder, { under: hosts.on(host), milliseconds, more: ['--ack-wait', '2'] });
    const alone = processes.start(batch('alone.jsonl'), { milliseconds });
    const workers = await Promise.all(HOSTS.map(worker));
    expect(await alone.ended).toMatchObject({ code: 0 });
    const runs = new Runs((output) => processes.start(batch(output, '--join', server.url, '--root', folder, '--ack-wait', '2'), { milliseconds, under: hosts.on(HOSTS[2]) }));

    await runs.goOn();
    workers[0]!.process.kill('SIGKILL');
    workers[1]!.process.kill('SIGSTOP');
    await runs.goOn();
    await server.kill();
    await sleep(300);
    await server.start();
    await runs.goOn();
    // It wakes with jobs that others have done meanwhile; one that comes anew takes part.
    workers[1]!.process.kill('SIGCONT');
    await worker(HOSTS[0]);
    await runs.goOn();
    hosts.link(HOSTS[1], 'down');
    await runs.goOn();
    hosts.link(HOSTS[1], 'up');
    await runs.goOn();
    // Nobody reaches the broker, for longer than a job may be silent.
    hosts.link(BROKER, 'down');
    await sleep(3_000);
    hosts.link(BROKER, 'up');
    await runs.goOn();

    const expected = readFileSync(at('alone.jsonl'), 'utf8');
    expect(expected.split('\n')).toHaveLength(ROWS + 1);
    for (const output of await runs.end()) expect(readFileSync(at(output), 'utf8'), output).toBe(expected);
  });
});
