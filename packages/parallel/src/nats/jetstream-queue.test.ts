/** The queue on a NATS server keeps the contract, also over the death of the server. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../jobs/job.js';
import { queueContract, CONTRACT } from '../jobs/testing/queue-contract.js';
import { runJobs } from '../jobs/run-jobs.js';
import { workOn } from '../jobs/work-on.js';
import type { WorkQueue } from '../jobs/work-queue.js';
import { connectNats } from './connect.js';
import { jetStreamQueue } from './jetstream-queue.js';
import { type NatsServer, noNats, startNats } from './testing/nats-server.js';

describe.skipIf(noNats !== undefined)(`a fleet${noNats ? ` (${noNats})` : ''}`, () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  let fleets = 0;
  queueContract('the queue on NATS', async () => {
    const fleet = `f${fleets++}`;
    const all: { connection: NatsConnection; queue: WorkQueue }[] = [];
    const join = async (): Promise<WorkQueue> => {
      const connection = await connectNats({ servers: server.url });
      const queue = await jetStreamQueue(connection, { ...CONTRACT, fleet });
      all.push({ connection, queue });
      return queue;
    };
    return {
      queue: await join(),
      join,
      async [Symbol.asyncDispose]() {
        for (const { connection, queue } of all) {
          await queue[Symbol.asyncDispose]();
          await connection.close();
        }
      },
    };
  });

  it('loses nothing when the server dies and comes back', async () => {
    await using broker = await startNats();
    await using connection = await connectNats({ servers: broker.url });
    await using queue = await jetStreamQueue(connection, { ackWait: 2_000 });
    await using other = await connectNats({ servers: broker.url });
    await using workers = await jetStreamQueue(other, { ackWait: 2_000 });
    const stop = new AbortController();
    const working = workOn(workers, async (job) => (await new Promise((resolve) => setTimeout(resolve, 10)), job.spec), { slots: 4, signal: stop.signal });
    const seen = new Map<number, number>();
    await runJobs(queue, 'broken', Array.from({ length: 200 }, (_, i) => ({ handler: 'echo', spec: i })), async (outcome, { spec }) => {
      expect(outcome).toMatchObject({ state: 'done', result: spec });
      seen.set(spec, (seen.get(spec) ?? 0) + 1);
      if (seen.size !== 60) return;
      await broker.kill();
      await broker.start();
    }, { window: 100, look: 500 });
    stop.abort();
    await working;
    expect([seen.size, Math.max(...seen.values())]).toEqual([200, 1]);
  });

  it('does the jobs of a run that was cancelled and begins again, also where news of that come late', async () => {
    const fleet = 'again';
    await using connection = await connectNats({ servers: server.url });
    await using queue = await jetStreamQueue(connection, { ...CONTRACT, fleet });
    await using other = await connectNats({ servers: server.url });
    await using workers = await jetStreamQueue(other, { ...CONTRACT, fleet });
    const stop = new AbortController();
    let cancelled = 0;
    const working = workOn(workers, async (job, signal) => (job.spec === 'long' ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })) : job.spec), {
      slots: 4, signal: stop.signal, onEvent: ({ kind }) => void (kind === 'cancelled' && cancelled++),
    });
    const enough = new AbortController();
    const first = expect(runJobs(queue, 'again', [{ handler: 'echo', spec: 'long' }], () => {}, { signal: enough.signal })).rejects.toThrow('enough');
    while ((await queue.counts()).running < 1) await new Promise((resolve) => setTimeout(resolve, 20));
    enough.abort(new Error('enough'));
    await first;
    while (cancelled < 1) await new Promise((resolve) => setTimeout(resolve, 20));
    // What a restart of the server does to those who watch; they notice after some 10 s.
    const { consumers } = await jetstreamManager(connection);
    for await (const { name } of consumers.list(`KV_${fleet}_runs`)) await consumers.delete(`KV_${fleet}_runs`, name);
    const heard: unknown[] = [];
    // No looks: no job may be lost in the first place.
    await runJobs(queue, 'again', [0, 1, 2].map((spec) => ({ handler: 'echo', spec })), (outcome) => void heard.push(outcome.state), { look: 3_000_000 });
    expect(heard).toEqual(['done', 'done', 'done']);
    stop.abort();
    await working;
  });

  it('publishes again what the server lost', async () => {
    await using broker = await startNats();
    await using connection = await connectNats({ servers: broker.url });
    await using queue = await jetStreamQueue(connection, CONTRACT);
    let done = 0;
    const running = runJobs(queue, 'lost', [0, 1, 2].map((spec) => ({ handler: 'echo', spec })), () => void done++, { look: 200 });
    while ((await queue.counts()).waiting < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    await (await jetstreamManager(connection)).streams.purge('penjing_jobs');
    const stop = new AbortController();
    const working = workOn(queue, async (job) => job.spec, { signal: stop.signal });
    await running;
    stop.abort();
    await working;
    expect(done).toBe(3);
  });

  it('ends without a server when both sides are told to', async () => {
    await using broker = await startNats();
    const connection = await connectNats({ servers: broker.url });
    await using queue = await jetStreamQueue(connection, CONTRACT);
    const other = await connectNats({ servers: broker.url });
    await using workers = await jetStreamQueue(other, CONTRACT);
    const stop = new AbortController();
    let started = 0;
    // The handler is done when the server is gone: what it gave cannot be committed.
    const gone = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve(), { once: true }));
    const working = workOn(workers, async () => (started++, await gone, 'done'), { slots: 2, signal: stop.signal, grace: 500 });
    const jobs = (async function* () {
      for (let spec = 0; ; spec++) yield { handler: 'echo', spec };
    })();
    const running = expect(runJobs(queue, 'endless', jobs, () => {}, { window: 64, look: 100, signal: stop.signal })).rejects.toThrow('enough');
    while (started < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    await broker.kill();
    await new Promise((resolve) => setTimeout(resolve, 500));
    stop.abort(new Error('enough'));
    await Promise.all([running, working]);
    await Promise.all([connection.close(), other.close()]);
  }, 20_000);

  it('buries what is no job, and outlives damaged records', async () => {
    await using connection = await connectNats({ servers: server.url });
    await using queue = await jetStreamQueue(connection, { ...CONTRACT, fleet: 'damaged' });
    const js = jetstream(connection);
    await queue.begin('bad');
    const { id } = await queue.publish('bad', { handler: 'echo', spec: 1 });
    for (const [name, text] of [['letters', 'no JSON'], ['number', '5'], ['nothing', 'null'], ['unnamed', '{"spec":1}'], ['no$key', '{}']] as const) await js.publish(`damaged.jobs.bad.${name}`, text);
    const heard: Outcome[] = [];
    await using watching = await queue.watch('bad', (outcome) => {
      heard.push(outcome);
      throw new Error('a listener that fails');
    });
    void watching;
    const taken = await queue.take({ max: 8 });
    expect(taken.map((job) => job.id)).toEqual([id]);
    while ((await queue.counts()).running > 1) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await queue.outcome('bad', 'letters')).toMatchObject({ state: 'dead', failure: { code: 'E_DATA' } });
    const letter = await (await jetstreamManager(connection)).streams.getMessage('damaged_dead', { last_by_subj: 'damaged.dead.bad.letters' });
    expect(letter?.json()).toMatchObject({ text: 'no JSON', failure: { code: 'E_DATA' } });
    const kvm = new Kvm(js);
    await (await kvm.open('damaged_outcomes')).put('bad.torn', '{"id":"to');
    await (await kvm.open('damaged_runs')).put('bad', new Uint8Array([0xff, 0x00]));
    expect(await queue.outcome('bad', 'torn')).toMatchObject({ id: 'torn', state: 'dead', failure: { code: 'E_DATA' } });
    await taken[0]?.complete(1);
    while (!heard.some((outcome) => outcome.id === id)) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(heard.find((outcome) => outcome.id === 'torn')).toMatchObject({ state: 'dead' });
  });
});
