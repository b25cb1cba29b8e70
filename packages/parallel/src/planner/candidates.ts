/** Layouts worth a forecast: one device, replicas, pipelines, shards, branches, and those inside each other. */
import type { Node } from '@penjing/core';
import { type BranchPart, findBranches } from '../branches/find-branches.js';
import type { CostBook } from '../cost/cost-book.js';
import { secondsOf } from '../cost/roofline.js';
import type { Device } from '../plan/device.js';
import type { Forecast, Layout, Measured } from '../plan/plan.js';
import type { Span } from '../simulate/forecast.js';
import type { Topology } from '../simulate/topology.js';
import { cutStages } from '../split/cut-stages.js';
import { reasonOf } from './reason-of.js';
import { shardings } from './shardings.js';

export interface Candidate {
  /** `pipeline of 4, 16 micro-batches`. */
  readonly name: string;
  /** Absent for what is refused. */
  readonly layout?: Layout;
  readonly refused?: string;
  /** Why it does not run, where it was tried; `refused` says so too. */
  readonly failed?: string;
  /** Of two that are about as good the lower one is taken. */
  readonly complexity: number;
}

/** A candidate with its forecast, and with what it gave where it was run. */
export interface Planned extends Candidate {
  readonly layout: Layout;
  readonly forecast: Forecast;
  readonly measured?: Measured;
  readonly timeline: readonly Span[];
}

export interface CandidateOptions {
  readonly book: CostBook;
  readonly place: Topology;
  /** Tensor parallelism across hosts too. */
  readonly force?: boolean;
}

/** Micro-batches per stage beyond which the bubble hardly shrinks (Huang et al., GPipe, 2019: negligible from 4 on). */
const ROUNDS = 4;
/** Stages or shards inside of other layouts, where every combination would be too many. */
const INNER = [2, 4, 8];
/** Branches for each device: every one is a session in a thread of its own, which takes seconds to open and 40 MB, whatever it computes. */
const MOST_SESSIONS = 8;
/** Seconds of a hop from which doubling begins: links and calls may be listed as taking none. */
const LEAST_HOP = 1e-6;

export function* candidates(options: CandidateOptions): Generator<Candidate, void, undefined> {
  const { place } = options;
  const ordered = orderDevices(place.devices);
  const names = ordered.map(({ name }) => name);
  const counts = countsUpTo(names.length);
  yield* single(ordered, place);
  for (const count of counts) {
    const taken = names.slice(0, count);
    yield { name: `data: ${count} replicas`, layout: replicasOf(taken.map(leaf)), complexity: 1 };
    yield* pipelines(options, taken.map((device) => ({ name: device, layout: leaf(device) })), 2, '');
    yield* shardings(options, taken);
    yield* branches(options, taken);
  }
  const most = names.length;
  for (const inner of INNER.filter((size) => most % size === 0 && most / size > 1)) {
    const groups = Array.from({ length: most / inner }, (_, i) => names.slice(i * inner, (i + 1) * inner));
    for (const [first, ...rest] of alike(groups.map((group) => [...shardings(options, group)]))) {
      const layouts = [first!, ...rest].map(({ layout }) => layout!);
      yield { name: `data: ${groups.length} replicas of ${first!.name}`, layout: replicasOf(layouts), complexity: 4 };
      yield* pipelines(options, groups.map((group, i) => ({ name: group[0]!, layout: layouts[i]! })), 5, ` of ${first!.name}`, inner);
    }
    for (const microBatches of microBatchCounts(options.book, inner)) {
      const chains = groups.map((group) => pipeline(options, group.map((device) => ({ name: device, layout: leaf(device) })), microBatches, 1));
      const refused = chains.find(({ layout }) => !layout);
      yield refused
        ? { name: `data: ${groups.length} replicas of a pipeline of ${inner}`, refused: refused.refused ?? '', complexity: 4 }
        : { name: `data: ${groups.length} replicas of a pipeline of ${inner}, ${pieces(microBatches)}`, layout: replicasOf(chains.map(({ layout }) => layout!)), complexity: 4 };
      if (refused) break;
    }
  }
}

/** By way of sharding the groups' candidates, of ways that all groups have. */
function alike(groups: readonly (readonly Candidate[])[]): Candidate[][] {
  return groups[0]!.map((_, way) => groups.map((ways) => ways[way]!)).filter((same) => same.every(({ layout }) => layout));
}

/** Devices of one host side by side, the fastest host and device first. */
export function orderDevices(devices: readonly Device[]): Device[] {
  const hosts = new Map<string, Device[]>();
  for (const device of devices) hosts.set(device.host ?? device.name, [...(hosts.get(device.host ?? device.name) ?? []), device]);
  const flops = (list: readonly Device[]): number => list.reduce((sum, device) => sum + device.flops, 0);
  return [...hosts.values()].sort((a, b) => flops(b) - flops(a)).flatMap((list) => [...list].sort((a, b) => b.flops - a.flops));
}

/** The fastest device alone, and one engine with all cores of its host. */
function* single(ordered: readonly Device[], place: Topology): Generator<Candidate, void, undefined> {
  const first = ordered[0]!;
  yield { name: 'one device', layout: leaf(first.name), complexity: 0 };
  const mates = ordered.filter(({ name }) => place.hostOf(name) === place.hostOf(first.name));
  if (mates.length < 2 || mates.some(({ cores }) => cores === undefined)) return;
  const threads = mates.reduce((sum, { cores }) => sum + cores!, 0);
  yield { name: `one engine on ${threads} cores`, layout: { kind: 'device', device: first.name, threads }, complexity: 0.5 };
}

interface Stop {
  /** The device whose speed counts when stages are balanced. */
  readonly name: string;
  readonly layout: Layout;
}

function* pipelines(options: CandidateOptions, stops: readonly Stop[], complexity: number, suffix: string, group = 1): Generator<Candidate, void, undefined> {
  for (const microBatches of microBatchCounts(options.book, stops.length)) {
    const made = pipeline(options, stops, microBatches, group);
    yield { ...made, name: `pipeline of ${stops.length}${suffix}${made.layout ? `, ${pieces(microBatches)}` : ''}`, complexity };
    if (!made.layout) return;
  }
}

function pipeline({ book, place }: CandidateOptions, stops: readonly Stop[], microBatches: number, group: number): Pick<Candidate, 'layout' | 'refused'> {
  const rows = Math.max(1, Math.ceil(book.batch / microBatches));
  const { nodes, bytesOf } = book.at(rows);
  try {
    const stages = cutStages(book.model, {
      stages: stops.length,
      blocks: book.blocks,
      memoryBytes: stops.map(({ name }) => place.device(name).memoryBytes * group),
      costOf(block, stage) {
        const speed = place.speed(stops[stage]!.name);
        return (secondsOf(block.nodes.map((node) => nodes.get(node)!), speed).crowded - speed.crowded.callSeconds) / group;
      },
      borderCost(values, stage) {
        const { latency, bandwidth } = place.hop(stops[stage - 1]!.name, stops[stage]!.name);
        return latency + values.reduce((sum, value) => sum + bytesOf(value), 0) / bandwidth;
      },
    });
    return { layout: { kind: 'pipeline', microBatches, stages: stages.map((part, i) => ({ ...part, layout: stops[i]!.layout })) } };
  } catch (error) {
    return { refused: reasonOf(error) };
  }
}

/** Nothing for a graph without branches that are worth the hops, or with fewer than there are devices. */
function* branches({ book, place }: CandidateOptions, devices: readonly string[]): Generator<Candidate, void, undefined> {
  const speed = place.speed(devices[0]!);
  const { callSeconds } = speed.alone;
  const { nodes } = book.at(book.batch);
  const costOf = (node: Node): number => secondsOf([nodes.get(node)!], speed).alone - callSeconds;
  const caller = place.caller(devices[0]!)?.speed;
  // There and back through the thread that calls both, which has its own share of it.
  let hop = callSeconds + (caller?.stepSeconds ?? caller?.callSeconds ?? 0) + 2 * Math.max(...devices.slice(1).map((device) => latencyOf(place, devices[0]!, device)));
  const partsAt = (): BranchPart[] => findBranches(book.model, { devices: devices.length, costOf, hop });
  let parts = partsAt();
  // Fewer and larger forks, until few enough are left.
  for (; parts.length > MOST_SESSIONS * devices.length; parts = partsAt()) hop = Math.max(2 * hop, LEAST_HOP);
  if (new Set(parts.map(({ device }) => device)).size < devices.length) return;
  yield { name: `tasks: branches on ${devices.length} devices`, layout: { kind: 'tasks', parts: parts.map(({ device, ...part }) => ({ ...part, layout: leaf(devices[device]!) })) }, complexity: 2.5 };
}

/** Without an end where no link is. */
function latencyOf(place: Topology, from: string, to: string): number {
  try {
    return place.hop(from, to).latency;
  } catch (error) {
    reasonOf(error);
    return Infinity;
  }
}

/** One, then doubling up to four rounds per stage, as far as the batch goes. */
function microBatchCounts(book: CostBook, stages: number): number[] {
  const most = book.batchSymbol === undefined ? 1 : Math.max(1, Math.floor(book.batch / book.smallestPiece));
  const counts = [1];
  for (let count = 2; count <= Math.min(most, ROUNDS * stages); count *= 2) counts.push(count);
  return counts;
}

function countsUpTo(most: number): number[] {
  const counts: number[] = [];
  for (let count = 2; count < most; count *= 2) counts.push(count);
  return most > 1 ? [...counts, most] : [];
}

const leaf = (device: string): Layout => ({ kind: 'device', device });
const replicasOf = (replicas: readonly Layout[]): Layout => ({ kind: 'data', reduction: 'concat', replicas });
const pieces = (count: number): string => (count === 1 ? 'whole batches' : `${count} micro-batches`);
