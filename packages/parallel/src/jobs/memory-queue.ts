/** The queue of one process: the contract of a fleet without a broker. */
import { checkResult, checkRun, type JobFailure, jobId, type JobSpec, type Json, type Outcome } from './job.js';
import { ACK_WAIT_MS, cancelledRun, disposedQueue, type JobCounts, lostFailure, MOST_DELIVERIES, retryDelay, type TakenJob, type WorkQueue } from './work-queue.js';

export interface MemoryQueueOptions {
  readonly ackWait?: number;
  readonly mostDeliveries?: number;
}

interface Entry extends JobSpec {
  readonly run: string;
  readonly id: string;
  /** Deliveries that began, less those given back. */
  starts: number;
  /** Of the delivery that has it: any value of its own. */
  holder?: symbol;
  /** When the delivery counts as lost; undefined while it waits. */
  lease?: number;
}

interface Run {
  readonly entries: Map<string, Entry>;
  readonly outcomes: Map<string, Outcome>;
  readonly watchers: Set<(outcome: Outcome) => void>;
  readonly cancelled: AbortController;
}

export function memoryQueue({ ackWait = ACK_WAIT_MS, mostDeliveries = MOST_DELIVERIES }: MemoryQueueOptions = {}): WorkQueue {
  const runs = new Map<string, Run>();
  const waiting = new Set<Entry>();
  const running = new Set<Entry>();
  const delayed = new Set<ReturnType<typeof setTimeout>>();
  const takers = new Set<() => void>();
  let disposed = false;
  const wake = (): void => {
    for (const taker of [...takers]) taker();
  };
  const timer = setInterval(() => {
    const now = performance.now();
    let found = false;
    for (const entry of running) {
      if ((entry.lease ?? 0) > now) continue;
      putBack(entry);
      found = true;
    }
    if (found) wake();
  }, Math.max(5, ackWait / 4));
  // Browsers give a number.
  (timer as { unref?: () => void }).unref?.();

  function putBack(entry: Entry): void {
    running.delete(entry);
    if (isCurrent(entry)) waiting.add(entry);
  }

  const isCurrent = (entry: Entry): boolean => runs.get(entry.run)?.entries.get(entry.id) === entry;

  function runOf(name: string): Run {
    checkRun(name);
    const run = runs.get(name) ?? { entries: new Map<string, Entry>(), outcomes: new Map<string, Outcome>(), watchers: new Set<(outcome: Outcome) => void>(), cancelled: new AbortController() };
    runs.set(name, run);
    return run;
  }

  function decide(entry: Entry, outcome: Outcome): boolean {
    waiting.delete(entry);
    running.delete(entry);
    const run = runs.get(entry.run);
    // The job was deleted meanwhile, or another delivery was first.
    if (!run || run.entries.get(entry.id) !== entry) return false;
    run.entries.delete(entry.id);
    run.outcomes.set(entry.id, outcome);
    for (const watcher of [...run.watchers]) watcher(outcome);
    return true;
  }

  const dead = (entry: Entry, failure: JobFailure): boolean => decide(entry, { id: entry.id, state: 'dead', failure, deliveries: entry.starts });

  function deliver(entry: Entry): TakenJob | undefined {
    waiting.delete(entry);
    if (entry.starts >= mostDeliveries) return void dead(entry, lostFailure(mostDeliveries));
    const { run, id, handler, spec } = entry;
    const delivery = entry.starts + 1;
    const holder = Symbol(id);
    entry.holder = holder;
    entry.lease = performance.now() + ackWait;
    running.add(entry);
    let begun = false;
    // A delivery that was given to another has no say any more, but a result is a result.
    const mine = (): boolean => running.has(entry) && entry.holder === holder;
    const begin = (): void => {
      if (begun || !mine()) return;
      begun = true;
      entry.starts++;
    };
    return {
      run, id, handler, spec, delivery,
      signal: runOf(run).cancelled.signal,
      begin: async () => begin(),
      working: () => {
        if (mine()) entry.lease = performance.now() + ackWait;
      },
      complete: async (result: Json) => {
        checkResult(result);
        return decide(entry, { id, state: 'done', result });
      },
      fail: async (failure) => {
        if (!mine()) return;
        begin();
        if (delivery >= mostDeliveries) return void dead(entry, failure);
        running.delete(entry);
        const later = setTimeout(() => {
          delayed.delete(later);
          putBack(entry);
          wake();
        }, retryDelay(delivery));
        delayed.add(later);
      },
      giveBack: async () => {
        if (!mine()) return;
        if (begun) entry.starts--;
        putBack(entry);
        wake();
      },
    };
  }

  function clear(run: Run): void {
    for (const entry of run.entries.values()) {
      waiting.delete(entry);
      running.delete(entry);
    }
    run.entries.clear();
  }

  return {
    ackWait,
    async begin(name, { keep = false } = {}) {
      const old = runOf(name);
      if (!keep) clear(old);
      runs.set(name, { ...old, outcomes: keep ? old.outcomes : new Map<string, Outcome>(), cancelled: new AbortController() });
    },
    async publish(name, job) {
      const id = await jobId(job);
      const run = runOf(name);
      if (run.cancelled.signal.aborted) throw cancelledRun(name);
      if (run.entries.has(id) || run.outcomes.has(id)) return { id, duplicate: true };
      const entry: Entry = { run: name, id, handler: job.handler, spec: job.spec, starts: 0 };
      run.entries.set(id, entry);
      waiting.add(entry);
      wake();
      return { id, duplicate: false };
    },
    async take({ max, signal }) {
      for (;;) {
        const taken: TakenJob[] = [];
        if (signal?.aborted) return taken;
        if (disposed) throw disposedQueue();
        for (const entry of waiting) {
          if (taken.length >= max) break;
          const job = deliver(entry);
          if (job) taken.push(job);
        }
        if (taken.length > 0) return taken;
        await new Promise<void>((resolve) => {
          const taker = (): void => {
            takers.delete(taker);
            signal?.removeEventListener('abort', taker);
            resolve();
          };
          takers.add(taker);
          signal?.addEventListener('abort', taker, { once: true });
        });
      }
    },
    outcome: async (name, id) => runs.get(name)?.outcomes.get(id),
    async watch(name, onOutcome) {
      const { watchers } = runOf(name);
      watchers.add(onOutcome);
      return { [Symbol.asyncDispose]: async () => void watchers.delete(onOutcome) };
    },
    async redo(name, id) {
      runs.get(name)?.outcomes.delete(id);
    },
    async cancel(name) {
      const run = runOf(name);
      clear(run);
      run.cancelled.abort(cancelledRun(name));
    },
    async forget(name) {
      const run = runs.get(name);
      if (run) clear(run);
      runs.delete(name);
    },
    counts: async (): Promise<JobCounts> => ({ waiting: waiting.size + delayed.size, running: running.size }),
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      wake();
      clearInterval(timer);
      for (const later of delayed) clearTimeout(later);
    },
  };
}
