/** A request that is given up leaves all stages at once, by a NATS server, also those that its cancellation cannot reach from stage to stage. */
import { DenseTensor, type Executor, tensorType } from '@penjing/core';
import { openStages, serveStage, type Stage, type StageCancels } from '@penjing/parallel/grpc';
import { connectNats, stageCancels } from '@penjing/parallel/nats';
import { expect, test, vi } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { type FaultProxy, startFaultProxy } from './support/fault-proxy.js';

const type = tensorType('float32', [1]);
const value = (number: number): DenseTensor => DenseTensor.of('float32', [1], Float32Array.of(number));
const epoch = 3;
/** The proxy swallows what it gets for a while: no stage is to count as lost meanwhile, however slow this machine is. */
const keepAlive = { intervalMs: 120_000, timeoutMs: 120_000 };

/** Passes on what it is given; the last one when it is told to. */
function stageOf(i: number, held: { release(): void; signal: AbortSignal }[]): Executor {
  const names = { input: `v${i}`, output: `v${i + 1}` };
  return {
    inputs: [{ name: names.input, type }], outputs: [{ name: names.output, type }],
    run: (feeds, { signal } = {}) => new Promise((resolve, reject) => {
      const release = (): void => resolve({ [names.output]: feeds[names.input]! });
      if (i < 2) return release();
      signal!.addEventListener('abort', () => reject(signal!.reason as Error), { once: true });
      held.push({ release, signal: signal! });
    }),
    async [Symbol.asyncDispose]() {},
  };
}

test.skipIf(noNats !== undefined)(`those that run and those that wait; others go on${noNats ? ` (${noNats})` : ''}`, async () => {
  await using server = await startNats();
  await using front = await connectNats({ servers: server.url });
  await using other = await connectNats({ servers: server.url });
  const held: { release(): void; signal: AbortSignal }[] = [];
  const stages: Stage[] = [];
  let proxy: FaultProxy | undefined;
  const serve = async (i: number, next: string | undefined, cancels: StageCancels): Promise<Stage> => {
    const stage = await serveStage({ epoch, cancels, keepAlive, listen: '127.0.0.1:0', graceMs: 0, open: async () => stageOf(i, held), ...(next !== undefined && { next }) });
    stages.push(stage);
    return stage;
  };
  try {
    // Stages of another chain on the same server hear nothing of this one.
    const told: string[] = [];
    stageCancels(other, 'b').listen((key) => told.push(key));
    const last = await serve(2, undefined, stageCancels(other, 'a'));
    const middle = await serve(1, last.address, stageCancels(other, 'a'));
    proxy = await startFaultProxy(middle.address);
    const first = await serve(0, proxy.address, stageCancels(other, 'a'));
    await using opened = await openStages({ address: first.address, epoch, keepAlive, cancels: stageCancels(front, 'a') });
    const ask = (number: number, signal?: AbortSignal): ReturnType<Executor['run']> => opened.run({ v0: value(number) }, signal ? { signal } : {});

    const controller = new AbortController();
    const given = [ask(1, controller.signal), ask(2, controller.signal)];
    await vi.waitFor(() => expect([held.length, last.underWay]).toEqual([1, 2]), 20_000);
    const kept = ask(3);
    await vi.waitFor(() => expect(last.underWay).toBe(3), 20_000);

    // No word of it comes from the first stage to the second any more.
    proxy.faults.blackHole = true;
    controller.abort(new Error('never mind'));
    for (const one of given) await expect(one).rejects.toThrow('never mind');
    // The one that ran has ended, the one that waited never began, and the third has its turn.
    await vi.waitFor(() => expect([held.length, held[0]!.signal.aborted, held[1]?.signal.aborted, last.underWay]).toEqual([2, true, false, 1]), 20_000);
    proxy.faults.blackHole = false;
    held[1]!.release();
    expect((await kept)['v3']).toEqual(value(3));
    expect(told).toEqual([]);
  } finally {
    for (const stage of stages) await stage[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
  }
}, 60_000);
