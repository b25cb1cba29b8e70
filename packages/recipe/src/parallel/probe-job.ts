/** Runs a probe over and over inside of one thread, alone or while others do the same: nothing passes between threads meanwhile, and no thread is started for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, type JobContext, jobModule, type JobHost } from '@penjing/core';
import { allProbes, oneNumber } from './speed-probes.js';
import { leastDisturbed, mean, median } from './undisturbed.js';

export interface ProbeInput {
  /** Place in `allProbes`. */
  readonly probe: number;
  readonly threads: number;
  readonly seconds: number;
  /** How many engines are still to be ready, and how many have still to be timed: they begin together, and none ends before the others are done. */
  readonly gate: Int32Array<SharedArrayBuffer>;
}

const [READY, TIMED] = [0, 1];
const MIN_RUNS = 5;
const POLL_MS = 1;

/** Median seconds of a run. */
export const probeJob: Job<ProbeInput, number> = { module: jobModule(import.meta.url, './probe-job'), name: 'probeJob', run: timeProbe };

async function timeProbe({ probe, threads, seconds, gate }: ProbeInput, { engine, signal }: JobContext): Promise<number> {
  await using executor = await engine.load(allProbes[probe]!.make(), { threads, ...(signal && { signal }) });
  const run = (): Promise<unknown> => executor.run({ x: oneNumber }, signal ? { signal } : {});
  for (let i = 0; i < 2; i++) await run();
  Atomics.sub(gate, READY, 1);
  while (Atomics.load(gate, READY) > 0) await sleep(POLL_MS, undefined, signal ? { signal } : {});
  const times: number[] = [];
  const end = performance.now() + 1000 * seconds;
  while (times.length < MIN_RUNS || performance.now() < end) {
    const started = performance.now();
    await run();
    times.push((performance.now() - started) / 1000);
  }
  Atomics.sub(gate, TIMED, 1);
  while (Atomics.load(gate, TIMED) > 0) await run();
  return median(times);
}

export interface ProbeOptions extends Pick<ProbeInput, 'threads' | 'seconds'> {
  readonly signal?: AbortSignal | undefined;
}

/** Mean over so many engines, each in a thread of its own, of the median seconds of a run while all of them run. While other programs run it is taken again, a few times. */
export function probeSeconds(jobs: JobHost, probe: number, engines: number, { signal, ...input }: ProbeOptions): Promise<number> {
  return leastDisturbed(async () => {
    const gate = new Int32Array(new SharedArrayBuffer(8)).fill(engines);
    // One that fails is waited for by nobody.
    const failed = new AbortController();
    const ended = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
    const all = await Promise.allSettled(Array.from({ length: engines }, () => jobs.run(probeJob, { probe, gate, ...input }, { signal: ended }).catch((error: unknown) => {
      failed.abort(error);
      throw error;
    })));
    signal?.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    return mean(all.map((each) => (each as PromiseFulfilledResult<number>).value));
  });
}
