/** Stages as processes that are killed and stopped, behind a network that fails: requests fail at once and by code, or are answered right; memory stays bounded. */
import { DenseTensor, type Feeds } from '@penjing/core';
import { openStages, type RemoteStages, type StagesOptions } from '@penjing/parallel/grpc';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Faults, startFaultProxy } from './support/fault-proxy.js';
import type { StageOrders } from './support/stage-child.js';
import { startStageProcess, type StageProcess } from './support/stage-processes.js';
import { floats, numbersOf, openChain, threeAffine, threeOf, until } from './support/staged.js';

const keepAlive = { intervalMs: 500, timeoutMs: 1500 };
/** Far beyond what noticing takes, and far below what TCP alone would take. */
const SOON = 30_000;

const ordersOf = (i: number, listen: string, next: string | undefined, rest: Partial<StageOrders>): StageOrders => ({
  kind: 'stage', epoch: 1, listen, input: ['x', 'h', 'g'][i]!, output: ['h', 'g', 'y'][i]!, factor: [2, 3, 5][i]!, keepAlive, ...(next !== undefined && { next }), ...rest,
});

async function startThree(rest: Partial<StageOrders>): Promise<StageProcess[]> {
  const stages: StageProcess[] = [];
  for (const i of [2, 1, 0]) stages.unshift(await startStageProcess(ordersOf(i, '127.0.0.1:0', stages[0]?.address, rest)));
  return stages;
}

const again = ({ orders, address }: StageProcess): Promise<StageProcess> => startStageProcess({ ...(orders as StageOrders), listen: address });

const frontOf = (address: string, rest: Partial<StagesOptions> = {}): Promise<RemoteStages> => openStages({ address, epoch: 1, keepAlive, ...rest });

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'answered', (error: { code?: string; message?: string }) => error.code ?? `${error.message}`);

/** In the time given, or not at all. */
const soon = <T>(promise: Promise<T>, what: string): Promise<T> => Promise.race([promise, new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`${what}: not in ${SOON} ms`)), SOON).unref())]);

describe('each stage', () => {
  let stages: StageProcess[] = [];
  beforeAll(async () => {
    stages = await startThree({ runMs: 30 });
    return async () => void (await Promise.all(stages.map((stage) => stage.kill())));
  }, 60_000);

  test.each([0, 1, 2])('stage %i killed: requests fail at once; with replay all are answered when it is back', async (i) => {
    await using hasty = await frontOf(stages[0]!.address);
    await using patient = await frontOf(stages[0]!.address, { replay: true, waitMs: 60_000 });
    const lost = Array.from({ length: 8 }, (_, n) => codeOf(hasty.run({ x: floats(n) })));
    const saved = Array.from({ length: 8 }, (_, n) => patient.run({ x: floats(n) }));
    await until(() => !('code' in hasty.state), 'the front to be ready');
    await soonUnderWay(stages[i]!, 2);
    await stages[i]!.kill();
    const codes = await soon(Promise.all(lost), 'requests to fail');
    expect(codes.filter((code) => code !== 'answered' && code !== 'E_UNAVAILABLE')).toEqual([]);
    expect(codes).toContain('E_UNAVAILABLE');
    stages[i] = await again(stages[i]!);
    expect((await soon(Promise.all(saved), 'requests to be answered')).map(({ y }) => numbersOf(y)[0])).toEqual(Array.from({ length: 8 }, (_, n) => threeOf(n)));
    expect(await codeOf(until(() => !('code' in hasty.state), 'the front to be ready again').then(() => hasty.run({ x: floats(1) })))).toBe('answered');
  });

  test.each([0, 1, 2])('stage %i stopped: it is noticed, and it is used again when it goes on', async (i) => {
    await using front = await frontOf(stages[0]!.address);
    const lost = Array.from({ length: 8 }, (_, n) => codeOf(front.run({ x: floats(n) })));
    await soonUnderWay(stages[i]!, 1);
    stages[i]!.signal('SIGSTOP');
    try {
      expect(await soon(Promise.all(lost), 'requests to fail')).toContain('E_UNAVAILABLE');
      expect(await codeOf(front.run({ x: floats(1) }))).toBe('E_UNAVAILABLE');
    } finally {
      stages[i]!.signal('SIGCONT');
    }
    await until(() => !('code' in front.state), 'the front to be ready again', SOON);
    expect(numbersOf((await front.run({ x: floats(7) }))['y'])).toEqual([threeOf(7)]);
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)('a front that gets %s: the stages let go of its requests, and serve others', async (signal) => {
    await using front = await startStageProcess({ kind: 'front', address: stages[0]!.address, epoch: 1, sizes: { n: 1024 }, requests: 12, keepAlive });
    for (let answered = 0; answered < 3; ) ({ answered } = await front.ask());
    front.signal(signal);
    await using other = await frontOf(stages[0]!.address);
    expect(numbersOf((await soon(other.run({ x: floats(3) }), 'another front'))['y'])).toEqual([threeOf(3)]);
    for (const end = Date.now() + SOON; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      const underWay = await Promise.all(stages.map((stage) => stage.ask().then((said) => said.underWay)));
      if (underWay.every((count) => count === 0)) break;
      if (Date.now() > end) throw new Error(`requests of the front are still under way: ${underWay.join(', ')}`);
    }
  });

  async function soonUnderWay(stage: StageProcess, count: number): Promise<void> {
    for (const end = Date.now() + SOON; (await stage.ask()).underWay < count; ) if (Date.now() > end) throw new Error('no request came');
  }
});

describe('a network', () => {
  const opened: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
  });

  /** A front, a proxy, the first stage, another proxy, two more stages. */
  async function behind(faults: Faults, options: Partial<StagesOptions> = {}): Promise<{ front: RemoteStages; first: Awaited<ReturnType<typeof startFaultProxy>>; second: Awaited<ReturnType<typeof startFaultProxy>> }> {
    const links = threeAffine();
    const later = await openChain(links.slice(1).map((link) => ({ ...link, keepAlive })));
    const second = await startFaultProxy(later.stages[0]!.address);
    const head = await openChain([{ ...links[0]!, keepAlive, next: second.address }]);
    const first = await startFaultProxy(head.stages[0]!.address);
    const front = await frontOf(first.address, { replay: true, ...options });
    opened.push(later, second, head, first, front);
    Object.assign(first.faults, faults);
    Object.assign(second.faults, faults);
    return { front, first, second };
  }

  const SIZE = 100_000;
  const feeds = (n: number): Feeds => ({ x: DenseTensor.of('float32', [SIZE], new Float32Array(SIZE).map((_, i) => (i % 1000) + n)) });
  const isRight = ({ y }: Awaited<ReturnType<RemoteStages['run']>>, n: number): boolean => {
    const data = (y as DenseTensor).data as Float32Array;
    return data.length === SIZE && data.every((value, i) => value === Math.fround(threeOf((i % 1000) + n)));
  };

  test.each<[string, Faults]>([
    ['that is slow', { delayMs: 5 }],
    ['that cuts what is sent', { halve: true }],
    ['of a few MB a second', { bytesPerSecond: 8e6 }],
  ])('%s changes nothing', async (_, faults) => {
    const { front } = await behind(faults);
    const answers = await soon(Promise.all(Array.from({ length: 6 }, (__, n) => front.run(feeds(n)))), 'answers');
    expect(answers.every((answer, n) => isRight(answer, n))).toBe(true);
  });

  test('that breaks connections off: with replay all are answered, without they fail by code', async () => {
    const { front, first, second } = await behind({}, { waitMs: 60_000 });
    await using hasty = await frontOf(first.address);
    for (const proxy of [first, second]) {
      const codes = Array.from({ length: 6 }, (_, n) => codeOf(hasty.run(feeds(n))));
      const saved = Array.from({ length: 6 }, (_, n) => front.run(feeds(n)));
      const before = proxy.passed;
      await until(() => proxy.passed > before + SIZE, 'bytes on their way');
      proxy.reset();
      expect((await soon(Promise.all(codes), 'requests to fail')).filter((code) => code !== 'answered' && code !== 'E_UNAVAILABLE')).toEqual([]);
      expect((await soon(Promise.all(saved), 'requests to be answered')).every((answer, n) => isRight(answer, n))).toBe(true);
      await until(() => !('code' in hasty.state), 'the front to be ready again');
    }
  });

  test('that swallows everything is noticed, and found again', async () => {
    const { front, first, second } = await behind({}, { replay: false });
    for (const proxy of [first, second]) {
      proxy.faults.blackHole = true;
      expect(await soon(codeOf(front.run(feeds(1))), 'the request to fail')).toBe('E_UNAVAILABLE');
      proxy.faults.blackHole = false;
      await until(() => !('code' in front.state), 'the front to be ready again', SOON);
      expect(isRight(await soon(front.run(feeds(2)), 'an answer'), 2)).toBe(true);
    }
  });

  test.each([700_000, 90_001, 3_001])('that turns over a bit of every %i bytes never changes a number', async (flipEvery) => {
    const { front, first, second } = await behind({ flipEvery }, { replay: false });
    const results = { right: 0, E_CHECKSUM: 0, E_UNAVAILABLE: 0 };
    for (let n = 0; n < 12; n++) {
      await until(() => !('code' in front.state), 'the front to be ready', 2000).catch(() => {});
      const [answer] = await Promise.allSettled([soon(front.run(feeds(n)), 'an answer')]);
      if (answer.status === 'rejected') results[(answer.reason as { code: 'E_CHECKSUM' }).code]++;
      else {
        expect(isRight(answer.value, n)).toBe(true);
        results.right++;
      }
    }
    expect(first.flipped + second.flipped).toBeGreaterThan(0);
    expect(results.right + results.E_CHECKSUM + results.E_UNAVAILABLE).toBe(12);
    first.faults.flipEvery = second.faults.flipEvery = 0;
    // Streams that were damaged before may still have to be found out.
    for (const end = Date.now() + SOON; ; ) {
      await until(() => !('code' in front.state), 'the front to be ready again', SOON);
      const [answer] = await Promise.allSettled([soon(front.run(feeds(3)), 'an answer')]);
      if (answer.status === 'fulfilled') {
        expect(isRight(answer.value, 3)).toBe(true);
        break;
      }
      expect(answer.reason).toMatchObject({ code: expect.stringMatching(/^E_(CHECKSUM|UNAVAILABLE)$/) as string });
      if (Date.now() > end) throw answer.reason;
    }
  });
});

test('memory does not grow with the requests that wait for a slow stage', async () => {
  const limits = { window: 4 };
  const stages = await startThree({ limits });
  await stages[2]!.kill();
  stages[2] = await startStageProcess({ ...(stages[2]!.orders as StageOrders), listen: stages[2]!.address, runMs: 15 });
  try {
    await using front = await frontOf(stages[0]!.address, { limits, waitMs: 60_000 });
    const x = DenseTensor.of('float32', [1 << 18], new Float32Array(1 << 18)); // 1 MB
    const most = async (requests: number): Promise<number[]> => {
      const runs = Promise.all(Array.from({ length: requests }, () => front.run({ x })));
      const highest = [0, 0, 0];
      let ended = false;
      void runs.finally(() => (ended = true)).catch(() => {});
      while (!ended) {
        for (const [i, stage] of stages.entries()) highest[i] = Math.max(highest[i]!, await stage.residentBytes());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await runs;
      return highest;
    };
    await most(20); // until the heap has its size
    const few = await most(20);
    const many = await most(140);
    // 120 requests more, of 1 MB: were they queued in a stage, it would have grown by 120 MB.
    for (const i of [0, 1, 2]) expect(many[i]! - few[i]!).toBeLessThan(60e6);
  } finally {
    await Promise.all(stages.map((stage) => stage.kill()));
  }
}, 120_000);
