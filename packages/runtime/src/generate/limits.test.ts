/** What the engine promises of its limits: every number has a range, and whoever leaves, however many, leaves nothing behind. */
import { rm } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { Batcher } from '../worker/batcher.js';
import { type Generator, loadGenerator } from './generator.js';
import type { GenerateOptions } from './options.js';

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': packedDecoder({ words: 32 }) })));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

type Numbers = { readonly [Name in keyof Required<GenerateOptions>]: Required<GenerateOptions>[Name] extends number ? Name : never }[keyof GenerateOptions];

/** What is just inside, and what is just outside; a number of `GenerateOptions` without a row is an error of types. */
const ranges: { readonly [Name in Numbers]: { readonly inside: readonly number[]; readonly outside: readonly number[] } } = {
  maxNewTokens: { inside: [1], outside: [0, 1.5, -1, 2 ** 31 + 1] },
  temperature: { inside: [0, 100], outside: [-1e-9, 100.1] },
  topK: { inside: [0, 2 ** 31], outside: [-1, 0.5, 2 ** 31 + 1] },
  topP: { inside: [Number.MIN_VALUE, 1], outside: [0, 1.0001] },
  minP: { inside: [0, 1], outside: [-1e-9, 1.0001] },
  repetitionPenalty: { inside: [0.01, 100], outside: [0.0099, 100.1] },
  frequencyPenalty: { inside: [-100, 100], outside: [-100.1, 100.1] },
  presencePenalty: { inside: [-100, 100], outside: [-100.1, 100.1] },
  logProbabilities: { inside: [0, 20], outside: [-1, 0.5, 21] },
  seed: { inside: [0, 2 ** 32 - 1], outside: [-1, 0.5, 2 ** 32] },
};

describe('every number', () => {
  let generator: Generator;
  beforeAll(async () => void (generator = await loadGenerator(folder, { threads: 1 })));
  afterAll(async () => {
    await generator[Symbol.asyncDispose]();
    expect(liveSessionHosts()).toBe(0);
  });

  test.each(Object.entries(ranges))('%s has a range', async (name, { inside, outside }) => {
    for (const value of inside) expect((await generator.generate('a', { maxNewTokens: 2, ignoreEndToken: true, [name]: value })).tokens.length).toBeLessThanOrEqual(2);
    for (const value of [...outside, NaN, Infinity, -Infinity, '1' as unknown as number]) {
      await expect(generator.generate('a', { [name]: value }), `${name} of ${String(value)}`).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(name) as string });
    }
  });
});

describe('200 that leave at the same time', () => {
  test.each(['own', 'calling'] as const)('leave no sequence, buffer or thread (sessions on a thread that is %s)', async (thread) => {
    // Only on this thread can the batch be looked at.
    const write = vi.spyOn(Batcher.prototype, 'write');
    const before = liveSessionHosts();
    {
      await using generator = await loadGenerator(folder, { threads: 1, thread });
      const options = { ignoreEndToken: true, temperature: 1, maxNewTokens: 40 };
      const { text } = await generator.generate('after all', options);
      const ends = await Promise.allSettled(Array.from({ length: 200 }, async (_, i) => {
        const stop = new AbortController();
        let pieces = 0;
        // some before they begin, some while they wait, some at any of their first tokens
        if (i % 8 === 0) stop.abort(new Error('gone'));
        if (i % 8 === 1) setTimeout(() => stop.abort(new Error('gone')), i % 20);
        return generator.generate('words '.repeat(1 + (i % 3)), { ...options, seed: i, signal: stop.signal, onText: () => ++pieces === 1 + (i % 9) && stop.abort(new Error('gone')) });
      }));
      expect(ends.filter((end) => end.status === 'rejected' && (end.reason as Error).message === 'gone')).toHaveLength(200);
      expect(liveSessionHosts()).toBe(before + 1);
      expect((await generator.generate('after all', options)).text).toBe(text);
      if (thread === 'calling') {
        const batchers = new Set(write.mock.contexts as Batcher[]);
        expect([...batchers].map(({ size, bytes }) => [size, bytes])).toEqual([[0, 0]]);
      }
    }
    expect(liveSessionHosts()).toBe(before);
  });
});
