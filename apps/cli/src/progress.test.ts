import type { Progress } from '@penjing/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createProgressView } from './progress.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'], now: 0 }));
afterEach(() => void vi.useRealTimers());

/** What a terminal of so many columns shows, line by line; without a width the stream is no terminal. */
function view(columns?: number): { readonly lines: string[]; readonly update: (progress: Progress) => void } {
  const lines: string[] = [];
  const stream = { isTTY: columns !== undefined, columns, write: (text: string) => void lines.push(text.replace('\r\x1b[K', '')) } as unknown as NodeJS.WriteStream;
  return { lines, update: createProgressView(stream, false).update };
}

const training: Progress = { phase: 'train', done: 120, total: 1000, unit: 'steps', item: 'loss 2.5031 (validation 2.6112), rate 0.00050, 11200 tokens/s' };

describe('progress', () => {
  test.each([
    [200, `train ${'█'.repeat(3)}${'░'.repeat(25)} 12% 120 of 1000 steps 45 s left ${training.item}`],
    [120, `train ██${'░'.repeat(17)} 12% 120 of 1000 steps 45 s left ${training.item}`],
    [100, `train 12% 120 of 1000 steps 45 s left ${training.item}`],
    [90, `train 12% 45 s left ${training.item}`],
    [80, `train 12% ${training.item}`],
    [40, 'train 12% loss 2.5031 (validation 2.611'],
  ])('in %i columns', (columns, line) => {
    const { lines, update } = view(columns);
    update({ ...training, done: 0 });
    vi.advanceTimersByTime(6000);
    update(training);
    expect(lines.at(-1)).toBe(line);
  });

  test('a run that goes on is not thought to be as fast as if it had begun now', () => {
    const { lines, update } = view(200);
    update({ ...training, done: 800 });
    vi.advanceTimersByTime(10_000);
    update({ ...training, done: 900 });
    expect(lines.at(-1)).toContain('90% 900 of 1000 steps 10 s left');
  });

  test('what is no terminal gets whole lines, every few seconds', () => {
    const { lines, update } = view();
    vi.advanceTimersByTime(6000);
    update(training);
    update({ ...training, done: 121 });
    expect(lines).toEqual([`train ${'█'.repeat(3)}${'░'.repeat(25)} 12% 120 of 1000 steps ${training.item}\n`]);
  });
});
