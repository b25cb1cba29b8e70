/** The queue on a NATS server keeps the contract, also over the death of the server. */
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
});
