import type { Leaving } from '../http/leaving.js';
import { isPenjingError, PenjingError } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BatchPolicy, BatchScheduler, type Done, type Work } from './batch-scheduler.js';
import { type HandClock, handClock } from './testing/hand-clock.js';

const policy: BatchPolicy = { maxBatch: 8, maxDelayMs: 0, lanes: 1, maxQueue: 100, levels: 3 };

interface Bench {
  readonly clock: HandClock;
  readonly scheduler: BatchScheduler<string, string>;
  readonly batches: string[][];
  readonly signals: (Leaving | undefined)[];
  readonly submit: (value: string, work?: Partial<Work<string>>) => Promise<Done<string>>;
}

/** Runs that take `ms` each and answer their values in capitals. */
function bench(overrides: Partial<BatchPolicy> = {}, ms: (values: readonly string[]) => number = () => 10, broken: (value: string) => PenjingError | undefined = () => undefined): Bench {
  const clock = handClock();
  const batches: string[][] = [];
  const signals: (Leaving | undefined)[] = [];
  const scheduler = new BatchScheduler<string, string>((values, { signal }) => {
    batches.push([...values]);
    signals.push(signal);
    return new Promise((resolve, reject) => clock.after(ms(values), () => {
      const error = values.map(broken).find((one) => one);
      if (error) reject(error);
      else resolve(values.map((value) => value.toUpperCase()));
    }));
  }, { ...policy, ...overrides }, clock);
  return { clock, scheduler, batches, signals, submit: (value, work = {}) => scheduler.submit({ value, rows: 1, bucket: 'b', ...work }) };
}

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'done', (error: unknown) => (isPenjingError(error) ? error.code : String(error)));

describe('batches', () => {
  test('form of what comes while the model is busy, without any delay', async () => {
    const { clock, batches, submit } = bench();
    const all = ['a', 'b', 'c'].map((value) => submit(value));
    expect(batches).toEqual([['a']]); // at once
    await clock.advance(25);
    expect(batches).toEqual([['a'], ['b', 'c']]);
    expect(await Promise.all(all)).toMatchObject([{ result: 'A', queuedMs: 0, batchRows: 1 }, { result: 'B', queuedMs: 10, runMs: 10, batchRows: 2, batchRequests: 2 }, { result: 'C' }]);
  });

  test('wait for others up to the delay, and go as soon as they are full or of a preferred size', async () => {
    const { clock, batches, submit } = bench({ maxDelayMs: 5, preferred: [4], lanes: 4 });
    void submit('a');
    await clock.advance(4);
    expect(batches).toEqual([]);
    void submit('b');
    await clock.advance(1);
    expect(batches).toEqual([['a', 'b']]);
    for (const value of ['c', 'd', 'e']) void submit(value);
    expect(batches).toHaveLength(1);
    void submit('f');
    expect(batches.at(-1)).toEqual(['c', 'd', 'e', 'f']);
    void submit('g', { rows: 9 }); // more than fit: alone, and at once
    expect(batches.at(-1)).toEqual(['g']);
    await clock.advance(100);
  });

  test('hold one bucket each; what has none runs alone', async () => {
    const { clock, batches, submit } = bench();
    for (const [value, bucket] of [['a', 'x'], ['b', 'x'], ['c', 'y'], ['d', 'x'], ['e', undefined], ['f', undefined]] as const) void submit(value, { bucket });
    await clock.advance(100);
    expect(batches).toEqual([['a'], ['b', 'd'], ['c'], ['e'], ['f']]);
  });

  test('one bad request fails alone; a lost process fails all', async () => {
    const { clock, batches, submit } = bench({}, undefined, (value) => (value === 'bad' ? new PenjingError('E_INPUT', 'bad') : value === 'deadly' ? new PenjingError('E_MODEL_LOST', 'gone') : undefined));
    const first = ['a', 'b', 'bad', 'c'].map((value) => codeOf(submit(value)));
    await clock.advance(100);
    expect(await Promise.all(first)).toEqual(['done', 'done', 'E_INPUT', 'done']);
    expect(batches).toEqual([['a'], ['b', 'bad', 'c'], ['b'], ['bad'], ['c']]);
    const second = ['a', 'b', 'deadly'].map((value) => codeOf(submit(value)));
    await clock.advance(100);
    expect(await Promise.all(second)).toEqual(['done', 'E_MODEL_LOST', 'E_MODEL_LOST']);
  });
});

describe('order', () => {
  test('urgent work overtakes, and what is not urgent still gets its turn', async () => {
    const { clock, batches, submit } = bench({ maxBatch: 1 });
    void submit('first');
    for (let i = 0; i < 40; i++) void submit(`low${i}`, { level: 2 });
    for (let i = 0; i < 60; i++) void submit(`high${i}`, { level: 0 });
    await clock.advance(2000);
    const order = batches.flat();
    expect(order.slice(1, 30).every((value) => value.startsWith('high'))).toBe(true);
    // Two levels are worth 32 rows of a batch of one.
    const place = order.indexOf('low0');
    expect(place).toBeGreaterThan(30);
    expect(place).toBeLessThan(40);
  });

  test('a client that floods does not keep the others waiting', async () => {
    const { clock, batches, submit } = bench({ maxBatch: 1, maxQueue: 1000 });
    for (let i = 0; i < 200; i++) void submit(`flood${i}`, { client: 'flood' });
    await clock.advance(55);
    for (let i = 0; i < 5; i++) void submit(`polite${i}`, { client: 'polite' });
    await clock.advance(3000);
    const last = batches.flat().indexOf('polite4');
    expect(last).toBeLessThan(6 + 2 * 5 + 2);
    expect(batches.flat().filter((value) => value.startsWith('flood'))).toEqual(Array.from({ length: 200 }, (_, i) => `flood${i}`));
  });

  test('service is shared evenly between clients that always want more, whatever the sizes of their requests', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 4 }), async (sizes) => {
      const { clock, batches, submit } = bench({ maxBatch: 4, maxQueue: 1000 });
      sizes.forEach((rows, client) => {
        for (let i = 0; i < 48 / rows; i++) void submit(`${client}`, { client: `${client}`, rows });
      });
      await clock.advance(10 * 8 * sizes.length);
      const served = sizes.map((rows, client) => rows * batches.flat().filter((value) => value === `${client}`).length);
      // Of some 32 rows each, a batch and a request of difference at most.
      expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(12);
    }), { numRuns: 30 });
  });
});

describe('giving up', () => {
  test('queued work leaves at once, running work is told when nobody waits', async () => {
    const { clock, scheduler, batches, signals, submit } = bench();
    const controllers = [1, 2, 3].map(() => new AbortController());
    const all = controllers.map(({ signal }, i) => submit(`${i}`, { signal }).catch((error: unknown) => error));
    controllers[1]!.abort('left');
    expect(await all[1]).toBe('left');
    expect([scheduler.waiting, batches.length]).toEqual([1, 1]);
    controllers[0]!.abort('left');
    expect(signals[0]!.aborted).toBe(true);
    await clock.advance(50);
    expect(batches).toEqual([['0'], ['2']]);
    expect(signals[1]!.aborted).toBe(false);
    expect(await all[2]).toMatchObject({ result: '2' });
  });

  test('a batch goes on while one of it is waited for', async () => {
    const { clock, signals, submit } = bench();
    const controllers = [1, 2].map(() => new AbortController());
    void submit('x');
    const all = controllers.map(({ signal }, i) => submit(`${i}`, { signal }).catch((error: unknown) => error));
    await clock.advance(12);
    controllers[0]!.abort('left');
    expect(signals[1]!.aborted).toBe(false);
    controllers[1]!.abort('left');
    expect(signals[1]!.aborted).toBe(true);
    expect(await Promise.all(all)).toEqual(['left', 'left']);
    await clock.advance(100);
  });

  test('deadlines end work wherever it is, and hopeless work is refused at once', async () => {
    const { clock, scheduler, submit } = bench({ maxBatch: 1 });
    const running = codeOf(submit('a', { deadline: 5 }));
    const queued = codeOf(submit('b', { deadline: 7 }));
    expect(await codeOf(submit('c', { deadline: 0 }))).toBe('E_DEADLINE');
    await clock.advance(8);
    expect(await Promise.all([running, queued])).toEqual(['E_DEADLINE', 'E_DEADLINE']);
    expect(scheduler.waiting).toBe(0);
    for (let i = 0; i < 10; i++) void submit('x');
    await clock.advance(200); // now the rate is known: 10 ms for a row
    for (let i = 0; i < 10; i++) void submit('x');
    const refused = submit('y', { deadline: clock.now() + 50 });
    expect(await codeOf(refused)).toBe('E_OVERLOADED');
    const later = codeOf(submit('z', { deadline: clock.now() + 5000 }));
    await clock.advance(1000);
    expect(await later).toBe('done');
  });

  test('a full queue refuses with a time from the measured rate', async () => {
    const { clock, submit, scheduler } = bench({ maxBatch: 1, maxQueue: 5 }, () => 700);
    void submit('a');
    await clock.advance(700);
    const all = Array.from({ length: 6 }, (_, i) => submit(`${i}`));
    const refused = await submit('more').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'E_OVERLOADED', details: { retryAfter: 5 } }); // 6 rows of 0.7 s
    scheduler.rejectWaiting(new PenjingError('E_DISPOSED', 'unloaded'));
    const idle = scheduler.idle();
    await clock.advance(700);
    await idle;
    expect(await Promise.all(all.map(codeOf))).toEqual(['done', ...Array.from({ length: 5 }, () => 'E_DISPOSED')]);
  });

  test('without a queue only a free lane takes work', async () => {
    const { clock, submit } = bench({ maxQueue: 0, lanes: 2 });
    const all = ['a', 'b', 'c'].map((value) => codeOf(submit(value)));
    await clock.advance(50);
    expect(await Promise.all(all)).toEqual(['done', 'done', 'E_OVERLOADED']);
  });
});

test('whatever comes, everybody gets their own answer once, and no bound is broken', async () => {
  const step = fc.record({
    wait: fc.integer({ min: 0, max: 15 }), rows: fc.integer({ min: 1, max: 10 }), bucket: fc.constantFrom('x', 'y', undefined), level: fc.integer({ min: 0, max: 2 }),
    client: fc.constantFrom('a', 'b', 'c'), timeout: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }), leave: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }), bad: fc.boolean(),
  });
  const policies = fc.record({ maxBatch: fc.integer({ min: 1, max: 8 }), maxDelayMs: fc.integer({ min: 0, max: 20 }), lanes: fc.integer({ min: 1, max: 3 }), maxQueue: fc.integer({ min: 0, max: 12 }), preferred: fc.constantFrom(undefined, [2, 4]) });
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), policies, async (steps, overrides) => {
    const rowsOf = (value: string): number => steps[Number(value.split('-')[0])]!.rows;
    const { clock, scheduler, batches, submit } = bench(overrides, (values) => 1 + values.length, (value) => (value.includes('bad') ? new PenjingError('E_INPUT', 'bad') : undefined));
    const outcomes: Promise<string>[] = [];
    for (const [i, { wait, timeout, leave, bad, ...work }] of steps.entries()) {
      await clock.advance(wait);
      const controller = new AbortController();
      if (leave !== undefined) clock.after(leave, () => controller.abort('left'));
      const value = `${i}${bad ? '-bad' : ''}`;
      outcomes.push(submit(value, { ...work, signal: controller.signal, ...(timeout !== undefined && { deadline: clock.now() + timeout }) }).then(({ result, batchRows }) => {
        expect(result).toBe(value.toUpperCase());
        expect(batchRows <= overrides.maxBatch || batchRows === work.rows).toBe(true);
        return 'done';
      }, (error: unknown) => (isPenjingError(error) ? error.code : (error as string))));
      expect(scheduler.waiting).toBeLessThanOrEqual(Math.max(1, overrides.maxQueue));
      expect(scheduler.running).toBeLessThanOrEqual(overrides.lanes);
    }
    await clock.advance(5000);
    const settled = await Promise.all(outcomes);
    for (const [i, outcome] of settled.entries()) expect(['E_OVERLOADED', 'E_DEADLINE', 'left', steps[i]!.bad ? 'E_INPUT' : 'done']).toContain(outcome);
    for (const batch of batches) {
      expect(batch.length === 1 || batch.reduce((sum, value) => sum + rowsOf(value), 0) <= overrides.maxBatch).toBe(true);
      expect(new Set(batch.map((value) => steps[Number(value.split('-')[0])]!.bucket)).size).toBe(1);
    }
    expect([scheduler.waiting, scheduler.running]).toEqual([0, 0]);
    await scheduler.idle();
  }), { numRuns: 200 });
});
