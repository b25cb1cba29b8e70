/** A discrete-event simulator: tasks with predecessors, queues in front of what they use, and hosts whose devices slow each other down. */
import { PenjingError } from '@penjing/core';
import { EventHeap } from './event-heap.js';

/** A device or one direction of a link: does one task at a time, in the order in which they become ready. */
export interface SimResource {
  readonly name: string;
  /** Resources of one host compete while they are busy. */
  readonly host?: string;
}

export interface SimTask {
  /** Indices of resources, all held from start to end: a device, a link, or every device of a collective. */
  readonly uses: readonly number[];
  /** Seconds when nothing else of the host is busy. */
  readonly compute: number;
  /** Seconds more when everything else of the host is. */
  readonly extra?: number;
  /** Seconds after which those who wait see the result, though the resource is free again: the way through a link. */
  readonly delay?: number;
  /** Indices of tasks before it in the list. */
  readonly after: readonly number[];
}

export interface Simulation {
  /** By task; the end is when successors may start. */
  readonly start: Float64Array;
  readonly end: Float64Array;
  /** By resource. */
  readonly busy: Float64Array;
  readonly makespan: number;
}

/** While some tasks of a host run: how much of their `extra` seconds counts, and by how much all of them are slower besides. */
export type Contention = (host: string, active: readonly SimTask[]) => { readonly crowded: number; readonly slower: number };

const NO_CONTENTION: Contention = () => ({ crowded: 0, slower: 1 });

export interface SimulateOptions {
  readonly resources: readonly SimResource[];
  readonly tasks: readonly SimTask[];
  readonly contention?: Contention;
}

interface Running {
  readonly task: number;
  /** Share that is still to do, as of `since`. */
  left: number;
  since: number;
  seconds: number;
  /** Tells the end that counts from ends that were moved. */
  version: number;
}

/** Throws `E_PLAN` for a task that waits for one after it. */
export function simulate({ resources, tasks, contention = NO_CONTENTION }: SimulateOptions): Simulation {
  const start = new Float64Array(tasks.length);
  const end = new Float64Array(tasks.length);
  const busy = new Float64Array(resources.length);
  const queues = resources.map((): number[] => []);
  const heads = new Int32Array(resources.length);
  const occupied = new Uint8Array(resources.length);
  const waiting = new Int32Array(tasks.length);
  const followers = tasks.map((): number[] => []);
  const hosts = new Map<string, Running[]>();
  const events = new EventHeap<() => void>();
  let makespan = 0;

  tasks.forEach(({ after }, index) => {
    waiting[index] = after.length;
    for (const before of after) {
      if (before < 0 || before >= index) throw new PenjingError('E_PLAN', `task ${index} waits for task ${before}, which does not come before it`);
      followers[before]!.push(index);
    }
  });

  const enqueue = (index: number): void => {
    const { uses } = tasks[index]!;
    if (uses.length === 0) begin(index);
    for (const resource of uses) queues[resource]!.push(index);
    if (uses.length > 0) tryStart(uses[0]!);
  };

  const tryStart = (resource: number): void => {
    const index = queues[resource]![heads[resource]!];
    if (index === undefined) return;
    // Everyone enqueues everywhere at once, so queues agree on the order and nobody waits for each other.
    const { uses } = tasks[index]!;
    if (!uses.every((used) => occupied[used] === 0 && queues[used]![heads[used]!] === index)) return;
    for (const used of uses) {
      occupied[used] = 1;
      heads[used]!++;
    }
    begin(index);
  };

  const begin = (index: number): void => {
    const { uses, compute } = tasks[index]!;
    const now = events.now;
    start[index] = now;
    const running: Running = { task: index, left: 1, since: now, seconds: compute, version: 0 };
    const host = uses.length === 0 ? undefined : resources[uses[0]!]!.host;
    if (host === undefined) return schedule(running, undefined);
    const active = hosts.get(host) ?? [];
    hosts.set(host, active);
    active.push(running);
    retime(host, active);
  };

  /** The number of busy ones has changed: what is done so far counts at the old speed, the rest at the new one. */
  const retime = (host: string, active: readonly Running[]): void => {
    const { crowded, slower } = contention(host, active.map(({ task }) => tasks[task]!));
    for (const running of active) {
      const { compute, extra = 0 } = tasks[running.task]!;
      if (running.seconds > 0) running.left = Math.max(0, running.left - (events.now - running.since) / running.seconds);
      running.since = events.now;
      const seconds = (compute + extra * crowded) * slower;
      if (running.version > 0 && seconds === running.seconds) continue;
      running.seconds = seconds;
      schedule(running, host);
    }
  };

  const schedule = (running: Running, host: string | undefined): void => {
    const version = ++running.version;
    events.push(events.now + running.left * running.seconds, () => {
      if (version === running.version) finish(running, host);
    });
  };

  const finish = (running: Running, host: string | undefined): void => {
    const { task: index } = running;
    const { uses, delay = 0 } = tasks[index]!;
    if (host !== undefined) {
      const active = hosts.get(host)!;
      active.splice(active.indexOf(running), 1);
      retime(host, active);
    }
    for (const used of uses) {
      busy[used]! += events.now - start[index]!;
      occupied[used] = 0;
    }
    end[index] = events.now + delay;
    makespan = Math.max(makespan, end[index]);
    const release = (): void => {
      for (const follower of followers[index]!) if (--waiting[follower]! === 0) enqueue(follower);
    };
    if (delay > 0) events.push(end[index], release);
    else release();
    for (const used of uses) tryStart(used);
  };

  tasks.forEach((_, index) => {
    if (waiting[index] === 0) events.push(0, () => enqueue(index));
  });
  for (let event = events.pop(); event; event = events.pop()) event();
  return { start, end, busy, makespan };
}
