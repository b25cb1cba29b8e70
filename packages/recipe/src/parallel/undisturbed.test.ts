/** Slices of time by a clock that moves only when everything waits, and by a load that the test invents. */
import { expect, test } from 'vitest';
import { undisturbed, undisturbedTogether } from './undisturbed.js';

interface Clock {
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/** Goes on to the next end of a sleep once nothing else is left to do. */
function virtualClock(): Clock {
  let at = 0;
  const sleeping: { readonly until: number; readonly wake: () => void }[] = [];
  const tick = (): void => void setImmediate(() => {
    sleeping.sort((a, b) => a.until - b.until);
    const next = sleeping.shift();
    if (!next) return;
    at = next.until;
    next.wake();
    tick();
  });
  return {
    now: () => at,
    sleep: (milliseconds) => new Promise((wake) => {
      sleeping.push({ until: at + milliseconds, wake });
      if (sleeping.length === 1) tick();
    }),
  };
}

/** Of each slice what is on the list, the last of them for ever. */
function load(...cores: number[]): { readonly foreign: () => () => number; readonly slices: () => number } {
  let slices = 0;
  return { foreign: () => () => cores[Math.min(slices++, cores.length - 1)]!, slices: () => slices };
}

/** Runs that take so long, in the slices one after the other; each writes down when it was under way. */
function runner(clock: Clock, milliseconds: () => number): { readonly run: () => Promise<void>; readonly spans: { readonly from: number; readonly to: number }[] } {
  const spans: { from: number; to: number }[] = [];
  return {
    spans,
    async run() {
      const from = clock.now();
      await clock.sleep(milliseconds());
      spans.push({ from, to: clock.now() });
    },
  };
}

test('one quiet slice is enough', async () => {
  const clock = virtualClock();
  const { foreign, slices } = load(0.1);
  const { run, spans } = runner(clock, () => 10);
  expect(await undisturbed(run, { seconds: 0.1, now: clock.now, foreign })).toBeCloseTo(0.01);
  expect([slices(), spans.length]).toEqual([1, 2 + 10]);
});

test.each([
  ['a quiet slice ends it', [1, 0], 2, 0.02],
  ['the quietest one counts where none is quiet', [2, 1, 3], 3, 0.02],
])('a disturbed slice is taken again: %s', async (_, cores, tries, expected) => {
  const clock = virtualClock();
  const { foreign, slices } = load(...cores);
  const { run } = runner(clock, () => 10 * (1 + slices()));
  expect(await undisturbed(run, { seconds: 0.1, now: clock.now, foreign })).toBeCloseTo(expected);
  expect(slices()).toBe(tries);
});

test('several run until the same end, the quick ones until the slow one has enough, and a slice is taken again for all', async () => {
  const clock = virtualClock();
  const { foreign, slices } = load(1, 0);
  const quick = runner(clock, () => 10);
  const slow = runner(clock, () => 70 + 10 * slices());
  const taken = await undisturbedTogether([quick.run, slow.run], { seconds: 0.1, now: clock.now, foreign });
  expect(taken.map((seconds) => seconds.toFixed(3))).toEqual(['0.010', '0.080']);
  expect(slices()).toBe(2);
  // Of 70 ms while both warm up and in the first slice, of 80 ms in the second.
  const alone = slow.spans.filter(({ from, to }) => quick.spans.filter((span) => span.from >= from && span.to <= to).length < 7);
  expect(alone.filter(({ from }) => from >= 140)).toEqual([]);
  expect(slow.spans).toHaveLength(2 + 5 + 5);
});

test('an error ends the others too, and nothing runs any more when it is thrown', async () => {
  const clock = virtualClock();
  const { foreign } = load(0);
  let underWay = 0;
  let runs = 0;
  const of = (milliseconds: number, last: number) => async (): Promise<void> => {
    underWay++;
    await clock.sleep(milliseconds);
    underWay--;
    if (++runs > last) throw new Error('the run failed');
  };
  await expect(undisturbedTogether([of(10, 8), of(100, Infinity)], { seconds: 5, now: clock.now, foreign })).rejects.toThrow('the run failed');
  expect([underWay, clock.now() < 1000]).toEqual([0, true]);
});

test('a signal ends it', async () => {
  const clock = virtualClock();
  const ended = new AbortController();
  const { run } = runner(clock, () => 10);
  const measured = undisturbedTogether([run, async () => { await run(); if (clock.now() > 100) ended.abort(); }], { seconds: 5, signal: ended.signal, now: clock.now, foreign: load(0).foreign });
  await expect(measured).rejects.toMatchObject({ name: 'AbortError' });
});
