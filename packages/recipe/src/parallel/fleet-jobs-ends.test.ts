/** How a host of jobs on a fleet ends: with jobs on their way, after one that failed, and after a command that was killed. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inlineJobs, type Job, type JobHost, PenjingError } from '@penjing/core';
import { blockJob } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { memoryQueue, workOn, type WorkQueue } from '@penjing/parallel';
import { computeHandler } from './compute-handler.js';
import { computeJob } from './compute-job.js';
import { fleetJobs } from './fleet-jobs.js';
import { openRoots, type SharedRoots } from './shared-roots.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-ends-'));
let roots: SharedRoots;
beforeAll(async () => void (roots = await openRoots([folder])));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function workFolder(name: string): string {
  const work = join(folder, name);
  mkdirSync(work);
  return work;
}

async function hostOf(queue: WorkQueue, work: string): Promise<JobHost & AsyncDisposable> {
  return fleetJobs({ queue, roots, work, threads: 1, local: { ...inlineJobs({ engine: referenceEngine(), kernels: plainKernels() }), async [Symbol.asyncDispose]() {} } });
}

/** Workers of these tests look at the number only. */
const numbered = blockJob as unknown as Job<{ readonly number: number }, unknown>;

it('ends with jobs on their way and no worker', async () => {
  await using queue = memoryQueue();
  const work = workFolder('no-worker');
  const host = await hostOf(queue, work);
  const jobs = [1, 2, 3].map((number) => host.run(numbered, { number }));
  const ended = Promise.allSettled(jobs);
  while ((await queue.counts()).waiting < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await host[Symbol.asyncDispose]();
  expect((await ended).map((one) => one.status === 'rejected' && (one.reason as PenjingError).code)).toEqual(['E_DISPOSED', 'E_DISPOSED', 'E_DISPOSED']);
  expect(await queue.counts()).toEqual({ waiting: 0, running: 0 });
  expect(await readdir(work)).toEqual([]);
});

it('ends the other jobs when no worker can run one', async () => {
  await using queue = memoryQueue({ mostDeliveries: 1 });
  const stop = new AbortController();
  let begun = 0;
  let stopped = 0;
  const worker = workOn(queue, async (_, signal) => {
    // The third to come is the one that fails.
    if (++begun === 3) throw new PenjingError('E_ENGINE', 'no memory');
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    stopped++;
    throw signal.reason;
  }, { slots: 3, signal: stop.signal });
  const host = await hostOf(queue, workFolder('dead'));
  const ended = await Promise.allSettled([1, 2, 3].map((number) => host.run(numbered, { number })));
  for (const one of ended) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'E_ENGINE', message: 'workers could not run blockJob: no memory' } });
  await expect(host.run(numbered, { number: 4 })).rejects.toMatchObject({ code: 'E_ENGINE' });
  await host[Symbol.asyncDispose]();
  stop.abort();
  await worker;
  expect([begun, stopped]).toEqual([3, 2]);
});

it('gives up what a command that was killed left in its work folder', async () => {
  await using queue = memoryQueue();
  const work = workFolder('killed');
  const old = join(work, 'fleet-jobs', 'compute-old');
  mkdirSync(old, { recursive: true });
  writeFileSync(join(old, 'input'), 'x');
  await queue.begin('compute-old');
  for (const number of [1, 2]) await queue.publish('compute-old', { handler: 'compute', spec: { number } });
  const [taken] = await queue.take({ max: 1 });
  await using host = await hostOf(queue, work);
  expect(taken!.signal.aborted).toBe(true);
  expect(await queue.counts()).toEqual({ waiting: 0, running: 0 });
  expect(existsSync(old)).toBe(false);
  expect(host.parallel).toBeGreaterThan(1);
});

it('has workers run no job of a run that is over, and bring no folder back', async () => {
  await using handler = computeHandler(1);
  workFolder('again');
  const context = { roots, threads: 1, signal: new AbortController().signal };
  const spec = { job: 'blockJob', input: { root: 'shared', path: 'again/input', sha256: '' }, threads: 1, seed: null };
  const place = (path: string) => ({ root: 'shared', path });
  // The work folder of the next command, and none.
  for (const name of ['again', 'removed']) {
    await expect(handler.run(computeJob({ ...spec, work: place(name), folder: place(`${name}/fleet-jobs/compute-old`) }), context)).rejects.toMatchObject({ code: 'E_CANCELLED' });
  }
  expect(await readdir(join(folder, 'again'))).toEqual([]);
  expect(existsSync(join(folder, 'removed'))).toBe(false);
});
