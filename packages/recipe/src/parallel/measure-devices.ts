/** How fast this machine is, as planning needs it: rates of an engine by threads, engines side by side, messages between threads. */
import { availableParallelism, hostname, totalmem } from 'node:os';
import type { Executor, TaskOptions } from '@penjing/core';
import type { DeviceList, EngineSpeed, Ladder } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { callProbe, computeProbe, memoryProbe, nodeProbe, oneNumber, type SpeedProbe, speedProbes, transferProbe } from './speed-probes.js';

export interface MeasureDevicesOptions extends Omit<TaskOptions, 'seed'> {
  /** Seconds for each probe (0.08); more is steadier. */
  readonly seconds?: number;
  /** Most cores to measure with; all when absent. */
  readonly cores?: number;
}

export interface MeasuredDevices extends DeviceList {
  readonly version: 1;
}

const PROBE_SECONDS = 0.08;
const MIN_RUNS = 5;
const MOVED_BYTES = 16 * 2 ** 20;
/** Of the memory of a machine, what models may take; the rest is for the system and for who asks. */
const MEMORY_SHARE = 0.8;

/**
 * One device per core of this machine, all of one host. Everything is computed in threads of the engine, one session at a time, but for what runs
 * side by side. Other programs that run meanwhile make it all wrong. Throws `E_RUNTIME_MISSING`.
 */
export async function measureDevices({ signal, onProgress, seconds = PROBE_SECONDS, cores = availableParallelism() }: MeasureDevicesOptions = {}): Promise<MeasuredDevices> {
  const { ortEngine } = await loadRuntime();
  const load = (probe: SpeedProbe, threads: number): Promise<Executor> => ortEngine().load(probe.make(), { threads, ...(signal && { signal }) });
  const counts = threadCounts(cores);
  const total = counts.length * (speedProbes.length + 2) + 3;
  let done = 0;
  const step = (item: string): void => {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'measure', done: done++, total, unit: 'probes', item });
  };
  const timeOf = async (probe: SpeedProbe, threads: number): Promise<number> => {
    step(`${probe.kind}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`);
    await using executor = await load(probe, threads);
    return await secondsPerRun(executor, seconds, signal);
  };

  const engines: EngineSpeed[] = [];
  let roundTrip = 0;
  for (const threads of counts) {
    const call = await timeOf(callProbe, threads);
    roundTrip ||= call;
    const node = (await timeOf(nodeProbe, threads)) - call;
    const rates = new Map<string, [number, number][]>();
    for (const probe of speedProbes) {
      const taken = Math.max(1e-7, (await timeOf(probe, threads)) - call);
      rates.set(probe.kind, [...(rates.get(probe.kind) ?? []), [probe.size, probe.amount / taken]]);
    }
    const ladder = (kind: string): Ladder => (rates.get(kind) ?? []).sort((a, b) => a[0] - b[0]);
    engines.push({
      threads,
      flops: Object.fromEntries([...rates.keys()].filter((kind) => kind !== 'bandwidth').map((kind) => [kind, ladder(kind)])),
      bandwidth: ladder('bandwidth'),
      nodeSeconds: Math.max(0, node / nodeProbe.amount),
      callSeconds: CALL_SECONDS,
    });
  }

  const sideBySide = async (probe: SpeedProbe): Promise<number> => {
    step(`${probe.kind}, ${cores} engines side by side`);
    if (cores < 2) return 1;
    const executors: Executor[] = [];
    try {
      for (let i = 0; i < cores; i++) executors.push(await load(probe, 1));
      const alone = await secondsPerRun(executors[0]!, seconds, signal);
      const together = await Promise.all(executors.map((executor) => secondsPerRun(executor, 2 * seconds, signal)));
      return Math.min(1, alone / (together.reduce((sum, each) => sum + each, 0) / cores));
    } finally {
      await Promise.all(executors.map((executor) => executor[Symbol.asyncDispose]()));
    }
  };
  const compute = await sideBySide(computeProbe);
  const memory = await sideBySide(memoryProbe);

  step('messages between threads');
  const moved = await secondsToMove(ortEngine, signal);
  const host = hostname() || 'localhost';
  const [one] = engines;
  const peak = (ladder: Ladder): number => Math.max(...ladder.map(([, rate]) => rate));
  return {
    version: 1,
    devices: Array.from({ length: cores }, (_, i) => ({
      name: `${host}/core${i}`,
      host,
      memoryBytes: Math.floor((MEMORY_SHARE * totalmem()) / cores),
      flops: peak(one!.flops['product']!),
      memoryBandwidth: one!.bandwidth.at(-1)![1],
      cores: 1,
      measured: { engines, sideBySide: { compute, memory } },
    })),
    links: [{ from: host, to: host, latency: Math.max(1e-6, (roundTrip - CALL_SECONDS) / 2), bandwidth: MOVED_BYTES / Math.max(1e-6, moved - roundTrip) }],
  };
}

/** Of a session, without the way there and back, which is the link's (facts of onnxruntime-node 1.30). */
const CALL_SECONDS = 6e-6;

/** One thread, then doubling, and all. */
function threadCounts(cores: number): number[] {
  const counts: number[] = [];
  for (let count = 1; count < cores; count *= 2) counts.push(count);
  return [...counts, cores];
}

/** The lower quartile: runs that something else interrupted say nothing about the machine. */
async function secondsPerRun(executor: Executor, seconds: number, signal: AbortSignal | undefined): Promise<number> {
  const times: number[] = [];
  const options = signal ? { signal } : {};
  for (let i = 0; i < 2; i++) await executor.run({ x: oneNumber }, options);
  const end = performance.now() + 1000 * seconds;
  while (times.length < MIN_RUNS || performance.now() < end) {
    const started = performance.now();
    await executor.run({ x: oneNumber }, options);
    times.push(performance.now() - started);
  }
  return lowQuartile(times) / 1000;
}

async function secondsToMove(ortEngine: Awaited<ReturnType<typeof loadRuntime>>['ortEngine'], signal: AbortSignal | undefined): Promise<number> {
  const { model, feed } = transferProbe(MOVED_BYTES);
  await using executor = await ortEngine().load(model, { threads: 1, ...(signal && { signal }) });
  const times: number[] = [];
  for (let i = 0; i < 2 * MIN_RUNS; i++) {
    const x = feed();
    const started = performance.now();
    await executor.run({ x }, { transfer: ['x'], ...(signal && { signal }) });
    times.push(performance.now() - started);
  }
  return lowQuartile(times) / 1000;
}

function lowQuartile(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 4)]!;
}
