/** What every queue of jobs must do, as tests. */
import { describe, expect, it } from 'vitest';
import type { Json, Outcome } from '../job.js';
import { runJobs } from '../run-jobs.js';
import { workOn } from '../work-on.js';
import type { TakenJob, WorkQueue } from '../work-queue.js';

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Short, so that lost workers show soon. */
export const CONTRACT = { ackWait: 600, mostDeliveries: 3 } as const;

export interface OpenedQueue extends AsyncDisposable {
  /** Of the side that publishes. */
  readonly queue: WorkQueue;
  /** Another worker on the same jobs: in a fleet, another connection. */
  join(): Promise<WorkQueue>;
}

export function queueContract(name: string, open: () => Promise<OpenedQueue>): void {
  const specs = (count: number): { handler: string; spec: Json }[] => Array.from({ length: count }, (_, i) => ({ handler: 'double', spec: { n: i } }));
  const double = async (job: TakenJob): Promise<Json> => ({ twice: 2 * (job.spec as { n: number }).n });

  /** One job at least. */
  const takeOne = async (queue: WorkQueue): Promise<TakenJob> => {
    const [job] = await queue.take({ max: 1 });
    if (!job) throw new Error('no job');
    return job;
  };

  describe(`the contract of ${name}`, () => {
    it('gives every job to somebody and every result once', async () => {
      await using opened = await open();
      const stop = new AbortController();
      const workers = [await opened.join(), await opened.join()].map((queue) => workOn(queue, double, { slots: 2, signal: stop.signal }));
      const results: number[] = [];
      await runJobs(opened.queue, 'doubles', specs(60), (outcome, { spec }) => {
        expect(outcome).toMatchObject({ state: 'done', result: { twice: 2 * (spec as { n: number }).n } });
        results.push((spec as { n: number }).n);
      }, { window: 16 });
      stop.abort();
      await Promise.all(workers);
      expect(results.sort((a, b) => a - b)).toEqual(specs(60).map((_, i) => i));
      expect(await opened.queue.counts()).toEqual({ waiting: 0, running: 0 });
    });

    it('knows a job by what it says', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('twice');
      const first = await queue.publish('twice', { handler: 'double', spec: { a: 1, b: [1, { c: null }] } });
      const again = await queue.publish('twice', { handler: 'double', spec: { b: [1, { c: null }], a: 1 } });
      expect([first.duplicate, again]).toEqual([false, { id: first.id, duplicate: true }]);
      expect((await queue.publish('twice', { handler: 'triple', spec: { a: 1, b: [1, { c: null }] } })).duplicate).toBe(false);
      expect((await queue.counts()).waiting).toBe(2);
      const job = await takeOne(queue);
      expect((await queue.publish('twice', job)).duplicate).toBe(true);
      expect(await job.complete('done')).toBe(true);
      expect((await queue.publish('twice', job)).duplicate).toBe(true);
      await queue.forget('twice');
      await queue.begin('twice');
      expect((await queue.publish('twice', job)).duplicate).toBe(false);
    });

    it('refuses what is more than a reference', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('large');
      const data = 'x'.repeat(70_000);
      await expect(queue.publish('large', { handler: 'double', spec: data })).rejects.toMatchObject({ code: 'E_LIMIT' });
      await expect(queue.begin('a.b')).rejects.toMatchObject({ code: 'E_OPTION' });
      await queue.publish('large', { handler: 'double', spec: 1 });
      await expect((await takeOne(queue)).complete(data)).rejects.toMatchObject({ code: 'E_LIMIT' });
    });

    it('delivers again what a lost worker had, and not what one is working on', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('lost');
      await queue.publish('lost', { handler: 'double', spec: { n: 4 } });
      const lost = await takeOne(await opened.join());
      expect(lost.delivery).toBe(1);
      await lost.begin();
      const other = await opened.join();
      const busy = await takeOne(other);
      expect([busy.id, busy.delivery]).toEqual([lost.id, 2]);
      const quiet = new AbortController();
      const next = queue.take({ max: 1, signal: quiet.signal });
      for (let i = 0; i < 8; i++) {
        await sleep(CONTRACT.ackWait / 4);
        busy.working();
      }
      quiet.abort();
      expect(await next).toEqual([]);
      expect(await busy.complete({ twice: 8 })).toBe(true);
      // The first one was only slow; its result is the second.
      expect(await lost.complete({ twice: 9 })).toBe(false);
      expect(await queue.outcome('lost', lost.id)).toEqual({ id: lost.id, state: 'done', result: { twice: 8 } });
    });

    it('counts no delivery that was given back, however many workers are drained', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('back');
      await queue.publish('back', { handler: 'double', spec: { n: 1 } });
      for (let i = 0; i < 2 * CONTRACT.mostDeliveries; i++) {
        const job = await takeOne(i % 2 === 0 ? queue : await opened.join());
        expect(job.delivery).toBe(1);
        // Also one that ran when its worker had to end.
        if (i > 2) await job.begin();
        await job.giveBack();
      }
      expect(await (await takeOne(queue)).complete({ twice: 2 })).toBe(true);
    });

    it('counts no delivery that did not begin, such as that of the neighbour of what ended a worker', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('neighbours');
      await queue.publish('neighbours', { handler: 'double', spec: { n: 1 } });
      const prefetched = await takeOne(queue);
      const begun = await takeOne(queue);
      expect([prefetched.delivery, begun.delivery]).toEqual([1, 1]);
      await begun.begin();
      expect((await takeOne(queue)).delivery).toBe(2);
    });

    it('ends a job that fails each time, with the reason, and does the others', async () => {
      await using opened = await open();
      const stop = new AbortController();
      let tries = 0;
      const working = workOn(await opened.join(), async (job) => {
        if ((job.spec as { n: number }).n !== 3) return double(job);
        tries++;
        throw Object.assign(new Error('poison'), { code: 'E_DATA', hint: 'Leave it out.' });
      }, { signal: stop.signal });
      const dead: Outcome[] = [];
      let done = 0;
      await runJobs(opened.queue, 'poison', specs(8), (outcome) => void (outcome.state === 'dead' ? dead.push(outcome) : done++));
      stop.abort();
      await working;
      expect([done, tries]).toEqual([7, CONTRACT.mostDeliveries]);
      expect(dead).toMatchObject([{ state: 'dead', deliveries: CONTRACT.mostDeliveries, failure: { code: 'E_DATA', message: 'poison', hint: 'Leave it out.' } }]);
    });

    it('ends a job that no worker survives', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('deadly');
      const { id } = await queue.publish('deadly', { handler: 'double', spec: 1 });
      for (let i = 0; i < CONTRACT.mostDeliveries; i++) await (await takeOne(await opened.join())).begin();
      const stop = new AbortController();
      const working = workOn(await opened.join(), double, { signal: stop.signal });
      for (let i = 0; i < 100 && !(await queue.outcome('deadly', id)); i++) await sleep(100);
      stop.abort();
      await working;
      expect(await queue.outcome('deadly', id)).toMatchObject({ state: 'dead', failure: { code: 'E_WORKER' } });
    });

    it('cancels a run, its running jobs too, and leaves the others', async () => {
      await using opened = await open();
      const stop = new AbortController();
      const other = await opened.join();
      let started = 0;
      let ended = 0;
      const working = workOn(other, (job, signal) => (job.run === 'kept' ? double(job) : new Promise((_, reject) => {
        started++;
        signal.addEventListener('abort', () => (ended++, reject(signal.reason as Error)), { once: true });
      })), { slots: 2, prefetch: 0, signal: stop.signal });
      const enough = new AbortController();
      const cancelled = runJobs(opened.queue, 'cancelled', specs(6), () => {}, { signal: enough.signal });
      for (let i = 0; i < 100 && started < 2; i++) await sleep(50);
      enough.abort(new Error('enough'));
      await expect(cancelled).rejects.toThrow('enough');
      await expect(opened.queue.publish('cancelled', { handler: 'double', spec: 1 })).rejects.toMatchObject({ code: 'E_CANCELLED' });
      let done = 0;
      await runJobs(opened.queue, 'kept', specs(3), () => void done++);
      expect([started, ended, done]).toEqual([2, 2, 3]);
      stop.abort();
      await working;
      expect(await opened.queue.counts()).toMatchObject({ waiting: 0 });
    });

    it('goes on with a run, and does again what was damaged', async () => {
      await using opened = await open();
      const stop = new AbortController();
      const ran: number[] = [];
      const working = workOn(await opened.join(), (job) => (ran.push((job.spec as { n: number }).n), double(job)), { signal: stop.signal });
      let heard = 0;
      await runJobs(opened.queue, 'long', specs(5), () => void heard++);
      let damaged = true;
      await runJobs(opened.queue, 'long', specs(9), (_, { spec }) => {
        if (damaged && (spec as { n: number }).n === 2) return (damaged = false), 'redo';
        heard++;
        return undefined;
      }, { keep: true });
      stop.abort();
      await working;
      expect(heard).toBe(5 + 9);
      expect(ran.sort()).toEqual([0, 1, 2, 2, 3, 4, 5, 6, 7, 8]);
    });

    it('serves two who wait at the same time, and goes on with one when the other gives up', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('pair');
      const quiet = new AbortController();
      const both = [queue.take({ max: 1 }), queue.take({ max: 1 })];
      const third = queue.take({ max: 4, signal: quiet.signal });
      await sleep(50);
      quiet.abort();
      expect(await third).toEqual([]);
      const [one, two] = [await queue.publish('pair', { handler: 'double', spec: 1 }), await queue.publish('pair', { handler: 'double', spec: 2 })];
      expect((await Promise.all(both)).flat().map(({ id }) => id).sort()).toEqual([one.id, two.id].sort());
    });

    it('tells who waits that it was disposed, and whoever comes later', async () => {
      await using opened = await open();
      const queue = await opened.join();
      const waiting = [queue.take({ max: 1 }), queue.take({ max: 1 })].map((take) => expect(take).rejects.toMatchObject({ code: 'E_DISPOSED' }));
      await sleep(50);
      await queue[Symbol.asyncDispose]();
      await Promise.all(waiting);
      await expect(queue.take({ max: 1 })).rejects.toMatchObject({ code: 'E_DISPOSED' });
      await expect(workOn(queue, double)).rejects.toMatchObject({ code: 'E_DISPOSED' });
      expect(await queue.take({ max: 1, signal: AbortSignal.abort() })).toEqual([]);
    });

    it('ends what waits for a run that somebody else cancelled', async () => {
      await using opened = await open();
      const other = await opened.join();
      const running = runJobs(opened.queue, 'elsewhere', specs(3), () => {}, { look: 50 });
      const ended = expect(running).rejects.toMatchObject({ code: 'E_CANCELLED' });
      while ((await opened.queue.counts()).waiting < 3) await sleep(20);
      await other.cancel('elsewhere');
      await ended;
    });

    it('ends with its signal where jobs do not come, or what was heard is not dealt with', async () => {
      await using opened = await open();
      const stop = new AbortController();
      const working = workOn(await opened.join(), double, { signal: stop.signal });
      const never = new Promise<never>(() => {});
      let closed = false;
      const blocked = (async function* () {
        try {
          yield* specs(1);
          await never;
        } finally {
          closed = true;
        }
      })();
      const enough = new AbortController();
      const heard = new Promise<void>((resolve) => {
        for (const [run, jobs] of [['blocked', blocked], ['deaf', specs(1)]] as const) {
          void expect(runJobs(opened.queue, run, jobs, () => (run === 'deaf' ? (resolve(), never) : undefined), { signal: enough.signal })).rejects.toThrow('enough').then(() => ended.push(run));
        }
      });
      const ended: string[] = [];
      await heard;
      enough.abort(new Error('enough'));
      while (ended.length < 2) await sleep(20);
      expect(closed).toBe(false);
      stop.abort();
      await working;
    });

    it('lets go of what hears no signal when the grace is over, and gives it to others', async () => {
      await using opened = await open();
      const { queue } = opened;
      await queue.begin('stuck');
      await queue.publish('stuck', { handler: 'double', spec: { n: 1 } });
      const stop = new AbortController();
      const kinds: string[] = [];
      // No prefetch: the loop waits for a slot when the signal fires.
      await workOn(await opened.join(), () => (stop.abort(), new Promise(() => {})), { prefetch: 0, grace: 50, signal: stop.signal, onEvent: ({ kind }) => kinds.push(kind) });
      expect(kinds).toEqual(['started', 'givenBack']);
      expect((await takeOne(queue)).delivery).toBe(1);
    });
  });
}
