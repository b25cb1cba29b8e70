import { type Feeds, PenjingError, tensorType, type ValueInfo } from '@penjing/core';
import { describe, expect, test, vi } from 'vitest';
import { handExecutor, numbers, valuesOf } from '../testing/hand-executor.js';
import { openTasks, type TaskFunction } from './tasks.js';

const x: ValueInfo = { name: 'x', type: tensorType('float32', ['batch']) };
const times = (name: string, from: string, by: number): TaskFunction => ({
  inputs: [{ ...x, name: from }],
  outputs: [{ ...x, name }],
  run: async (feeds) => ({ [name]: numbers(...valuesOf(feeds[from]).map((value) => value * by)) }),
});

describe('a flow of tasks', () => {
  test('models and functions by the names of values, mapped where they differ', async () => {
    const left = handExecutor(['in'], ['out']);
    await using flow = openTasks({
      inputs: [x],
      outputs: ['sum', 'doubled'],
      parts: [
        // in no order
        { name: 'add', work: { inputs: [{ ...x, name: 'a' }, { ...x, name: 'b' }], outputs: [{ ...x, name: 'sum' }], run: async (feeds: Feeds) => ({ sum: numbers(...valuesOf(feeds['a']).map((value, i) => value + valuesOf(feeds['b'])[i]!)) }) }, inputs: { a: 'left', b: 'doubled' } },
        { name: 'left', work: left, inputs: { in: 'x' }, outputs: { out: 'left' } },
        { name: 'double', work: times('doubled', 'x', 2) },
      ],
    });
    const running = flow.run({ x: numbers(1, 2) });
    await vi.waitFor(() => expect(left.runs).toHaveLength(1));
    expect(Object.keys(left.runs[0]!.feeds)).toEqual(['in']);
    left.runs[0]!.end(10);
    const { sum, doubled } = await running;
    expect([valuesOf(sum), valuesOf(doubled)]).toEqual([[12, 14], [2, 4]]);
  });

  test('branches are under way at the same time; what is not asked for is not run', async () => {
    const [a, b] = [handExecutor(['x'], ['a']), handExecutor(['x'], ['b'])];
    await using flow = openTasks({ inputs: [x], outputs: ['a', 'b'], parts: [{ name: 'a', work: a }, { name: 'b', work: b }] });
    const both = flow.run({ x: numbers(1) });
    await vi.waitFor(() => expect([a.runs.length, b.runs.length]).toEqual([1, 1]));
    b.runs[0]!.end(2);
    a.runs[0]!.end(1);
    expect(Object.values(await both).map(valuesOf)).toEqual([[1], [2]]);
    const one = flow.run({ x: numbers(1) }, { outputs: ['b'] });
    await vi.waitFor(() => expect(b.runs).toHaveLength(2));
    b.runs[1]!.end(3);
    expect(Object.keys(await one)).toEqual(['b']);
    expect(a.runs).toHaveLength(1);
  });

  test('a value moves to the model that reads it last, and never what is the caller\'s or goes back', async () => {
    const [a, b, c] = [handExecutor(['x'], ['h', 'k']), handExecutor(['h', 'x'], ['m']), handExecutor(['h', 'k', 'm'], ['y'])];
    await using flow = openTasks({ inputs: [x], outputs: ['y', 'k'], parts: [{ name: 'a', work: a }, { name: 'b', work: b }, { name: 'c', work: c }] });
    const running = flow.run({ x: numbers(1) });
    await vi.waitFor(() => expect(a.runs).toHaveLength(1));
    a.runs[0]!.end(1);
    await vi.waitFor(() => expect(b.runs).toHaveLength(1));
    b.runs[0]!.end(1);
    await vi.waitFor(() => expect(c.runs).toHaveLength(1));
    c.runs[0]!.end(1);
    await running;
    expect([a, b, c].map(({ runs: [run] }) => run!.options.transfer)).toEqual([undefined, undefined, ['h', 'm']]);
  });

  test('no more requests are under way than allowed, first come first served', async () => {
    const work = handExecutor(['x'], ['y']);
    await using flow = openTasks({ inputs: [x], outputs: ['y'], parts: [{ name: 'work', work }], inFlight: 2 });
    const requests = [1, 2, 3].map((value) => flow.run({ x: numbers(value) }));
    await vi.waitFor(() => expect(work.runs).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(work.runs).toHaveLength(2);
    work.runs[0]!.end(10);
    await requests[0];
    await vi.waitFor(() => expect(work.runs).toHaveLength(3));
    expect(valuesOf(work.runs[2]!.feeds['x'])).toEqual([3]);
    work.runs.slice(1).forEach((run) => run.end(0));
    await Promise.all(requests);
  });

  test('an error ends its own request alone, and stops what else it started', async () => {
    const [a, b] = [handExecutor(['x'], ['a']), handExecutor(['x'], ['b'])];
    await using flow = openTasks({ inputs: [x], outputs: ['a', 'b'], parts: [{ name: 'a', work: a }, { name: 'b', work: b }] });
    const [bad, good] = [flow.run({ x: numbers(1) }), flow.run({ x: numbers(2) })];
    await vi.waitFor(() => expect(b.runs).toHaveLength(2));
    a.runs[0]!.fail(new PenjingError('E_ENGINE', 'no'));
    await expect(bad).rejects.toMatchObject({ code: 'E_ENGINE' });
    expect(b.runs[0]!.options.signal?.aborted).toBe(true);
    expect(b.runs[1]!.options.signal?.aborted).toBe(false);
    a.runs[1]!.end(1);
    b.runs[1]!.end(2);
    expect(Object.keys(await good)).toEqual(['a', 'b']);
  });

  test('who gives up is told at once, also in line and from a function that does not listen', async () => {
    const work = handExecutor(['x'], ['y']);
    const deaf: TaskFunction = { inputs: [x], outputs: [{ ...x, name: 'z' }], run: () => new Promise(() => {}) };
    await using flow = openTasks({ inputs: [x], outputs: ['y', 'z'], parts: [{ name: 'work', work }, { name: 'deaf', work: deaf }], inFlight: 1 });
    const abort = new AbortController();
    const [first, second] = [flow.run({ x: numbers(1) }, { signal: abort.signal }), flow.run({ x: numbers(1) }, { signal: abort.signal })];
    abort.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    await expect(second).rejects.toThrow('enough');
    // the places are free again
    const third = flow.run({ x: numbers(3) }, { outputs: ['y'] });
    await vi.waitFor(() => expect(valuesOf(work.runs.at(-1)?.feeds['x'])).toEqual([3]));
    work.runs.at(-1)!.end(0);
    await third;
  });

  test('a lost worker is answered by doing the work once more, then told', async () => {
    const work = handExecutor(['x'], ['y']);
    const last = handExecutor(['y'], ['z']);
    await using flow = openTasks({ inputs: [x], outputs: ['z'], parts: [{ name: 'work', work }, { name: 'last', work: last }] });
    const lost = (): PenjingError => new PenjingError('E_WORKER', 'it ended');
    const next = async (executor: typeof work, count: number): Promise<void> => vi.waitFor(() => expect(executor.runs).toHaveLength(count));
    for (const ending of ['well', 'badly'] as const) {
      [work, last].forEach(({ runs }) => runs.splice(0));
      const running = flow.run({ x: numbers(1) });
      await next(work, 1);
      work.runs[0]!.end(1);
      await next(last, 1);
      last.runs[0]!.fail(lost());
      await next(work, 2);
      if (ending === 'badly') {
        work.runs[1]!.fail(lost());
        await expect(running).rejects.toMatchObject({ code: 'E_WORKER', message: expect.stringContaining('second time') as string });
      } else {
        work.runs[1]!.end(1);
        await next(last, 2);
        last.runs[1]!.end(5);
        expect(valuesOf((await running)['z'])).toEqual([5]);
      }
    }
  });
});

describe('what cannot run is refused before anything runs', () => {
  const part = (name: string, from: string, to: string): { name: string; work: TaskFunction } => ({ name, work: times(to, from, 1) });
  test.each([
    ['a cycle', [part('a', 'q', 'p'), part('b', 'p', 'q')], ['p'], /a, b wait for each other/],
    ['a missing value', [part('a', 'nothing', 'p')], ['p'], /a reads nothing/],
    ['a value given twice', [part('a', 'x', 'p'), part('b', 'x', 'p')], ['p'], /p is given by a and by b/],
    ['an unknown output', [part('a', 'x', 'p')], ['q'], /no value q/],
    ['a type that does not fit', [part('a', 'x', 'p'), { name: 'b', work: { ...times('r', 'p', 1), inputs: [{ name: 'p', type: tensorType('int64', [3]) }] } }], ['r'], /p is float32/],
    ['a rank that does not fit', [part('a', 'x', 'p'), { name: 'b', work: { ...times('r', 'p', 1), inputs: [{ name: 'p', type: tensorType('float32', [3, 4]) }] } }], ['r'], /p is float32/],
    ['a mapping of nothing', [{ ...part('a', 'x', 'p'), inputs: { z: 'x' } }], ['p'], /a has no value z/],
  ] as const)('%s', (_, parts, outputs, message) => {
    expect(() => openTasks({ inputs: [x], outputs: [...outputs], parts: [...parts] })).toThrow(expect.objectContaining({ code: 'E_GRAPH', message: expect.stringMatching(message) as string }));
  });

  test('feeds and outputs by name', async () => {
    await using flow = openTasks({ inputs: [x], outputs: ['p'], parts: [part('a', 'x', 'p')] });
    await expect(flow.run({})).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(flow.run({ x: numbers(1), z: numbers(1) })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(flow.run({ x: numbers(1) }, { outputs: ['q'] })).rejects.toMatchObject({ code: 'E_INPUT' });
    const lying: TaskFunction = { ...times('p', 'x', 1), run: async () => ({}) };
    await expect(openTasks({ inputs: [x], outputs: ['p'], parts: [{ name: 'liar', work: lying }] }).run({ x: numbers(1) })).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringContaining('liar') as string });
  });
});
