/** Stages that find each other through a server, come and go, and change their plan. */
import { DenseTensor, type Executor, tensorType } from '@penjing/core';
import { describe, expect, it } from 'vitest';
import { openStages, serveStage, type Stage } from '../grpc/index.js';
import { connectNats } from './connect.js';
import { stageDirectory, type StageDirectory, type StageMember } from './stage-directory.js';
import { noNats, startNats } from './testing/nats-server.js';

const heartbeatMs = 200;

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 10))) if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
}

const member = (stage: number, rest: Partial<StageMember> = {}): StageMember => ({ stage, name: `s${stage}`, address: `127.0.0.1:${7000 + stage}`, epoch: 1, ready: true, ...rest });

function adds(input: string, output: string, what: number): Executor {
  const type = tensorType('float32', [1]);
  return {
    inputs: [{ name: input, type }], outputs: [{ name: output, type }],
    run: async (feeds) => ({ [output]: DenseTensor.of('float32', [1], Float32Array.of(((feeds[input] as DenseTensor).data as Float32Array)[0]! + what)) }),
    async [Symbol.asyncDispose]() {},
  };
}

describe.skipIf(noNats !== undefined)(`the directory of stages${noNats ? ` (${noNats})` : ''}`, () => {
  it('knows who lives, and forgets who is silent or leaves', async () => {
    await using server = await startNats();
    await using connection = await connectNats({ servers: server.url });
    await using mine = await stageDirectory(connection, { chain: 'a', heartbeatMs });
    await using other = await stageDirectory(connection, { chain: 'b', heartbeatMs });
    let ready = false;
    const first = await mine.announce(() => member(0, { ready }));
    const second = await mine.announce(() => member(1, { part: 'hash' }));
    await until(() => mine.members.length === 2, 'both');
    expect(mine.members).toEqual([member(0, { ready: false }), member(1, { part: 'hash' })]);
    expect(other.members).toEqual([]);
    ready = true;
    await until(() => mine.find(0)!.ready, 'what changed');
    await first[Symbol.asyncDispose]();
    await until(() => mine.find(0) === undefined, 'who left');
    // One that dies says nothing: its entry stays until its time is over.
    {
      await using dying = await connectNats({ servers: server.url });
      await using lost = await stageDirectory(dying, { chain: 'a', heartbeatMs });
      await lost.announce(() => member(5));
      await until(() => mine.find(5) !== undefined, 'the one that will die');
    }
    await until(() => mine.find(5) === undefined, 'who died');
    expect(mine.find(1)).toBeDefined();
    await second[Symbol.asyncDispose]();
  });

  it('prefers the newest plan, and takes nonsense for nobody', async () => {
    await using server = await startNats();
    await using connection = await connectNats({ servers: server.url });
    await using directory = await stageDirectory(connection, { chain: 'a', heartbeatMs: 5000 });
    for (const one of [member(0, { name: 'old' }), member(0, { name: 'new', epoch: 2, ready: false }), member(0, { name: 'x', address: 7 as unknown as string }), member(-1, { name: 'y' })]) await directory.announce(() => one);
    await until(() => directory.members.length === 2, 'both');
    expect(directory.find(0)!.name).toBe('new');
    expect(directory.find(0, 1)!.name).toBe('old');
    await expect(stageDirectory(connection, { chain: 'a.b' })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  it('a front finds the chain, follows a stage to another address and all to another plan, and goes on while the server is away', async () => {
    await using server = await startNats();
    let back = (): void => {};
    const again = new Promise<void>((resolve) => (back = resolve));
    await using connection = await connectNats({ servers: server.url, onWarning: ({ code }) => code === 'reconnected' && back() });
    const opened: AsyncDisposable[] = [];

    async function stage(i: number, epoch: number, what: number, name: string): Promise<Stage> {
      const served: { stage?: Stage } = {};
      const directory: StageDirectory = await stageDirectory(connection, { chain: 'a', heartbeatMs, onChange: () => served.stage?.findNext('another stage is next') });
      served.stage = await serveStage({
        epoch, listen: '127.0.0.1:0', graceMs: 0, open: async () => adds(`v${i}`, `v${i + 1}`, what),
        ...(i === 0 && { next: () => directory.find(1, epoch) }),
      });
      const { address } = served.stage;
      const announced = await directory.announce(() => ({ stage: i, name, address, epoch, ready: true }));
      opened.push(served.stage, announced, directory);
      return served.stage;
    }

    await stage(0, 1, 1, 'first');
    const second = await stage(1, 1, 10, 'second');
    await using directory = await stageDirectory(connection, { chain: 'a', heartbeatMs, onChange: () => opening.front?.reconnect('another stage is first') });
    const opening: { front?: Awaited<ReturnType<typeof openStages>> } = {};
    await until(() => directory.find(0) !== undefined, 'the first stage');
    const front = (opening.front = await openStages({ address: () => directory.find(0), epoch: 1, replay: true }));
    const ask = async (): Promise<number> => ((((await front.run({ v0: DenseTensor.of('float32', [1], Float32Array.of(0)) }))['v2'] as DenseTensor).data as Float32Array)[0]!);
    expect(await ask()).toBe(11);
    // The second stage moves.
    await second[Symbol.asyncDispose]();
    await opened[4]![Symbol.asyncDispose]();
    await stage(1, 1, 20, 'third');
    expect(await ask()).toBe(21);
    // Without the server what is known stays in use.
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, 4 * heartbeatMs));
    expect(await ask()).toBe(21);
    await server.start();
    await again;
    // A new plan, beside the old one.
    await stage(1, 2, 300, 'fourth');
    await stage(0, 2, 1, 'fifth');
    for (const end = Date.now() + 20_000; (await ask()) !== 301; ) if (Date.now() > end) throw new Error('the front does not follow the plan');
    await front[Symbol.asyncDispose]();
    for (const one of opened.reverse()) await one[Symbol.asyncDispose]();
  }, 60_000);
});
