/** What stands before a chain that an engine ties together: places, names, and what is done again. */
import { type Engine, type Executor, GraphBuilder, Model, PenjingError, tensorType } from '@penjing/core';
import { describe, expect, test, vi } from 'vitest';
import { type HandExecutor, handExecutor, numbers, valuesOf } from '../testing/hand-executor.js';
import { openChain } from './chain.js';

const type = tensorType('float32', ['batch']);
const infos = (...names: string[]) => names.map((name) => ({ name, type }));

function stage(input: string, output: string): { readonly model: Model } {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Neg', [b.input(input, type)]), output, type);
  return { model };
}

const stages = [stage('x', 'h'), stage('h', 'y')];

async function open(inFlight?: number): Promise<{ readonly hand: HandExecutor; readonly chain: Executor }> {
  const hand = handExecutor(['x'], ['y']);
  const engine: Engine = { name: 'hand', load: () => Promise.reject(new Error('not a session')), loadChain: async () => hand };
  const chain = await openChain({ engine, stages, inputs: infos('x', 'unread'), outputs: ['y'], ...(inFlight !== undefined && { inFlight }) });
  return { hand, chain: chain! };
}

const lost = (): PenjingError => new PenjingError('E_WORKER', 'it ended');
const feeds = (value: number) => ({ x: numbers(value), unread: numbers(0) });
const begun = (hand: HandExecutor, count: number): Promise<void> => vi.waitFor(() => expect(hand.runs).toHaveLength(count), 20_000);
const fed = (hand: HandExecutor): number[] => hand.runs.map((run) => valuesOf(run.feeds['x'])[0]!);
/** What would have begun by itself has begun afterwards. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('a chain of an engine', () => {
  test('has three runs for each stage in it, the others wait', async () => {
    const { hand, chain } = await open();
    const runs = Array.from({ length: 8 }, (_, i) => chain.run(feeds(i)));
    await begun(hand, 6);
    await settled();
    expect(hand.runs).toHaveLength(6);
    hand.runs[3]!.end(0);
    await begun(hand, 7);
    await settled();
    expect(hand.runs).toHaveLength(7);
    hand.runs[0]!.fail(new PenjingError('E_ENGINE', 'no'));
    await expect(runs[0]).rejects.toMatchObject({ code: 'E_ENGINE' });
    await begun(hand, 8);
    hand.runs.forEach((run, i) => run.end(i));
    expect((await Promise.all(runs.slice(4))).map(({ y }) => valuesOf(y))).toEqual([[4], [5], [6], [7]]);
    await chain[Symbol.asyncDispose]();
    expect(hand.disposed).toBe(true);
  });

  test('keeps inputs that no stage reads to itself, and refuses others', async () => {
    const { hand, chain } = await open();
    expect(chain.inputs).toEqual(infos('x', 'unread'));
    const run = chain.run(feeds(5));
    await begun(hand, 1);
    expect(Object.keys(hand.runs[0]!.feeds)).toEqual(['x']);
    hand.runs[0]!.end(2);
    expect(valuesOf((await run)['y'])).toEqual([2]);
    for (const wrong of [{ x: numbers(1) }, { ...feeds(1), z: numbers(1) }]) await expect(chain.run(wrong)).rejects.toMatchObject({ code: 'E_INPUT' });
  });

  test('does what a dying worker cut off again, but not what its caller gave away', async () => {
    const { hand, chain } = await open();
    const [kept, given] = [chain.run(feeds(1)), chain.run(feeds(2), { transfer: ['x'] })];
    await begun(hand, 2);
    hand.runs.forEach((run) => run.fail(lost()));
    await expect(given).rejects.toMatchObject({ code: 'E_WORKER', message: 'it ended' });
    await begun(hand, 3);
    hand.runs[2]!.end(9);
    expect(valuesOf((await kept)['y'])).toEqual([9]);
    expect(fed(hand)).toEqual([1, 2, 1]);
  });

  test('a run behind one that was given up, and that ended the workers, is not to blame', async () => {
    const { hand, chain } = await open(2);
    const patience = new AbortController();
    const [killer, innocent] = [chain.run(feeds(1), { signal: patience.signal }), chain.run(feeds(2))];
    for (const count of [2, 4]) {
      await begun(hand, count);
      hand.runs.slice(-2).forEach((run) => run.fail(lost()));
    }
    await begun(hand, 5);
    patience.abort();
    hand.runs[4]!.fail(patience.signal.reason as Error);
    await expect(killer).rejects.toBe(patience.signal.reason);
    await begun(hand, 6);
    hand.runs[5]!.fail(lost());
    await begun(hand, 7);
    hand.runs[6]!.end(2);
    expect(valuesOf((await innocent)['y'])).toEqual([2]);
    expect(fed(hand)).toEqual([1, 2, 1, 2, 1, 2, 2]);
  });

  test('a run that ends its workers ends no others: after a second time each is alone', async () => {
    const { hand, chain } = await open(3);
    const runs = [1, 2, 3].map((value) => chain.run(feeds(value)));
    const outcome = Promise.allSettled(runs);
    for (const count of [3, 6]) {
      await begun(hand, count);
      hand.runs.slice(-3).forEach((run) => run.fail(lost()));
    }
    for (const [i, value] of [1, 2, 3].entries()) {
      await begun(hand, 7 + i);
      await settled();
      expect(fed(hand).slice(6)).toEqual([1, 2, 3].slice(0, i + 1));
      if (value === 2) hand.runs.at(-1)!.fail(lost());
      else hand.runs.at(-1)!.end(value);
    }
    const [first, second, third] = await outcome;
    expect([first, third].map((one) => one?.status === 'fulfilled' && valuesOf(one.value['y']))).toEqual([[1], [3]]);
    expect(second).toMatchObject({ reason: { code: 'E_WORKER', message: 'it ended, again, with no other work in the stages', details: { again: true } } });
    // All places are there again.
    for (const value of [4, 5, 6]) chain.run(feeds(value)).catch(() => {});
    await begun(hand, 12);
  });

  test('one that is given up while it waits to be alone lets others go on', async () => {
    const { hand, chain } = await open(2);
    const controller = new AbortController();
    const given = chain.run(feeds(1), { signal: controller.signal });
    const beside = chain.run(feeds(2));
    for (const count of [2, 3]) {
      await begun(hand, count);
      hand.runs.at(count === 2 ? 0 : -1)!.fail(lost());
    }
    await settled();
    controller.abort(new Error('never mind'));
    await expect(given).rejects.toThrow('never mind');
    const next = chain.run(feeds(3));
    await begun(hand, 4);
    [1, 3].forEach((i) => hand.runs[i]!.end(i));
    expect((await Promise.all([beside, next])).map(({ y }) => valuesOf(y))).toEqual([[1], [3]]);
  });

  test('is none where values go around the stages, where there is one stage, or where the engine has no way', async () => {
    const hand = handExecutor(['x'], ['y']);
    const loadChain = vi.fn(async () => hand);
    const load = (): Promise<Executor> => Promise.reject(new Error('not a session'));
    const engine: Engine = { name: 'hand', load, loadChain };
    expect(await openChain({ engine, stages, inputs: infos('x'), outputs: ['y', 'x'] })).toBeUndefined();
    expect(await openChain({ engine, stages: [stage('x', 'y')], inputs: infos('x'), outputs: ['y'] })).toBeUndefined();
    expect(await openChain({ engine: { name: 'plain', load }, stages, inputs: infos('x'), outputs: ['y'] })).toBeUndefined();
    await expect(openChain({ engine, stages, inputs: infos('x'), outputs: ['nothing'] })).rejects.toMatchObject({ code: 'E_GRAPH' });
    expect(loadChain).not.toHaveBeenCalled();
    // In the order in which they need each other.
    await openChain({ engine, stages: [stages[1]!, stages[0]!], inputs: infos('x'), outputs: ['y'] });
    expect(loadChain).toHaveBeenCalledWith(stages, { outputs: ['y'] });
  });
});
