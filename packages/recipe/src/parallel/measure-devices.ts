/** How fast this machine is, as planning needs it: rates of an engine by threads, of engines side by side, and what layouts cost beyond them. */
import { availableParallelism, hostname, totalmem } from 'node:os';
import type { TaskOptions } from '@penjing/core';
import type { DeviceList, EngineSpeed, Ladder } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { measureCalls } from './measure-calls.js';
import { probeSeconds } from './probe-job.js';
import { allProbes, callProbe, nodeProbe, type SpeedProbe, speedProbes } from './speed-probes.js';

export interface MeasureDevicesOptions extends Omit<TaskOptions, 'seed'> {
  /** Seconds for each probe (0.08); more is steadier. */
  readonly seconds?: number;
  /** Most cores to measure with; all when absent. */
  readonly cores?: number;
}

export interface MeasuredDevices extends DeviceList {
  readonly version: 2;
}

const PROBE_SECONDS = 0.08;
/** Of the memory of a machine, what models may take; the rest is for the system and for who asks. */
const MEMORY_SHARE = 0.8;
/** Of a session, without the way there and back, which is the link's (facts of onnxruntime-node 1.30). */
const CALL_SECONDS = 6e-6;
/** Of the time of a probe, what may be put down to its nodes. */
const MOST_OF_NODES = 0.7;
/** Between sessions of one process tensors are given away, not copied; that the reader finds them elsewhere counts in its own rates. */
const GIVEN_AWAY = 50e9;

/**
 * One device per core of this machine, all of one host. Everything is computed in threads of the engine, one session at a time, but for what runs
 * side by side. While other programs run a probe is taken again, a few times. Throws `E_RUNTIME_MISSING`.
 */
export async function measureDevices({ signal, onProgress, seconds = PROBE_SECONDS, cores = availableParallelism() }: MeasureDevicesOptions = {}): Promise<MeasuredDevices> {
  const { ortEngine, ortJobs } = await loadRuntime();
  const engine = ortEngine();
  const counts = threadCounts(cores);
  const total = (counts.length + (cores > 1 ? 1 : 0)) * (speedProbes.length + 2) + (cores > 1 ? 31 : 9);
  let done = 0;
  const step = (item: string): void => {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'measure', done: Math.min(total, done++), total, unit: 'probes', item });
  };
  // Sessions come and go in the same threads: to start one for each would take longer than what it is for.
  await using threads = ortJobs({ parallel: cores, threads: 1 });
  const timed = (probe: SpeedProbe, count: number, side: number): Promise<number> => {
    step(`${probe.kind}, ${side > 1 ? `${side} engines side by side` : `${count} ${count === 1 ? 'thread' : 'threads'}`}`);
    return probeSeconds(threads, allProbes.indexOf(probe), side, { threads: count, seconds, signal });
  };

  const engines: EngineSpeed[] = [];
  for (const count of counts) engines.push(await engineSpeed(count, (probe) => timed(probe, count, 1)));
  const crowded = cores > 1 ? await engineSpeed(1, (probe) => timed(probe, 1, cores)) : engines[0]!;
  const single = [...engines.slice(1), crowded].reduce(atLeast, engines[0]!);
  engines[0] = single;
  const { latency, caller, outputs, outputsTogether, sums } = await measureCalls({ engine, jobs: ortJobs, cores, seconds, signal, step }, CALL_SECONDS);
  const host = hostname() || 'localhost';
  const peak = (ladder: Ladder): number => Math.max(...ladder.map(([, rate]) => rate));
  return {
    version: 2,
    devices: Array.from({ length: cores }, (_, i) => ({
      name: `${host}/core${i}`,
      host,
      memoryBytes: Math.floor((MEMORY_SHARE * totalmem()) / cores),
      flops: peak(single.flops['product']!),
      memoryBandwidth: single.bandwidth.at(-1)![1],
      cores: 1,
      measured: { engines: engines.map((each) => ({ ...each, outputs })), together: { ...crowded, outputs: outputsTogether }, caller, ...(sums && { sums }) },
    })),
    links: [{ from: host, to: host, latency, bandwidth: GIVEN_AWAY }],
  };
}

/** What a node and a call cost is taken off the others: it is listed apart. */
async function engineSpeed(threads: number, timeOf: (probe: SpeedProbe) => Promise<number>): Promise<EngineSpeed> {
  const call = await timeOf(callProbe);
  const nodeSeconds = Math.max(0, ((await timeOf(nodeProbe)) - call) / nodeProbe.amount);
  const rates = new Map<string, [number, number][]>();
  for (const probe of speedProbes) {
    const taken = Math.max(1e-7, (await timeOf(probe)) - call);
    const working = taken - Math.min(MOST_OF_NODES * taken, nodeSeconds * (probe.nodes ?? 0));
    rates.set(probe.kind, [...(rates.get(probe.kind) ?? []), [probe.size, probe.amount / working]]);
  }
  const ladder = (kind: string): Ladder => (rates.get(kind) ?? []).sort((a, b) => a[0] - b[0]);
  return {
    threads,
    flops: Object.fromEntries([...rates.keys()].filter((kind) => kind !== 'bandwidth').map((kind) => [kind, ladder(kind)])),
    bandwidth: ladder('bandwidth'),
    nodeSeconds,
    callSeconds: CALL_SECONDS,
  };
}

/** One thread does its share of what several do, and what one does beside others; where it seemed slower, something else ran while it was measured. */
function atLeast(single: EngineSpeed, { threads, flops, bandwidth }: EngineSpeed): EngineSpeed {
  const raised = (ladder: Ladder, other: Ladder): Ladder => ladder.map(([size, rate], i) => [size, Math.max(rate, other[i]![1] / threads)] as const);
  return { ...single, flops: Object.fromEntries(Object.entries(single.flops).map(([kind, ladder]) => [kind, raised(ladder, flops[kind]!)])), bandwidth: raised(single.bandwidth, bandwidth) };
}

/** One thread, then doubling, and all. */
function threadCounts(cores: number): number[] {
  const counts: number[] = [];
  for (let count = 1; count < cores; count *= 2) counts.push(count);
  return [...counts, cores];
}
