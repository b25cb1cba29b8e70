import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import type { BatchPrompt, WrongPrompt } from './batch-prompts.js';
import { type BatchRecord, generateAll, type GenerateAllOptions } from './generate-all.js';
import { generateFile } from './generate-file.js';
import { type Generator, loadGenerator } from './generator.js';
import { inOrder } from './in-order.js';

let folder: string;
let generator: Generator;
beforeAll(async () => {
  folder = await writeModelFolder({ '': packedDecoder({ words: 32 }) });
  generator = await loadGenerator(folder, { threads: 1 });
});
afterAll(async () => {
  await generator[Symbol.asyncDispose]();
  expect(liveSessionHosts()).toBe(0);
  await rm(folder, { recursive: true });
});

/** Promise.withResolvers is not in Node 20. */
function held(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  return { promise: new Promise((settle) => (resolve = settle)), resolve: () => resolve() };
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function all(prompts: readonly (BatchPrompt | WrongPrompt)[], options?: GenerateAllOptions): Promise<BatchRecord[]> {
  const records: BatchRecord[] = [];
  for await (const record of generateAll(generator, each(prompts), options)) records.push(record);
  return records;
}

const words = Array.from({ length: 30 }, (_, i) => 'the quick brown fox jumps over a lazy dog'.slice(i % 17, 5 + ((7 * i) % 30)));

describe('texts of many prompts', () => {
  test.each([{ temperature: 0 }, { temperature: 1.2, seed: 5 }])('are those of each alone, in order (%o)', async (sampling) => {
    const prompts = words.map((prompt, i) => ({ id: `p${i}`, prompt, options: { maxNewTokens: 3 + ((5 * i) % 14), ...(i % 3 === 0 && { seed: i }) } }));
    const records = await all(prompts, { ...sampling, ignoreEndToken: true });
    expect(records.map(({ index, id }) => [index, id])).toEqual(prompts.map(({ id }, i) => [i, id]));
    for (const [i, { prompt, options }] of prompts.entries()) {
      const { text, tokens, finishReason, promptTokens } = await generator.generate(prompt, { ...sampling, ignoreEndToken: true, ...options });
      expect(records[i]).toEqual({ index: i, id: `p${i}`, text, tokens, finishReason, usage: { promptTokens, newTokens: tokens.length } });
    }
  });

  test('may be conversations and tokens, and say log-probabilities', async () => {
    const [chat, tokens] = await all([{ prompt: { messages: [{ role: 'user', content: 'ab' }] } }, { prompt: [0, 2, 3, 29], options: { logProbabilities: 2 } }], { maxNewTokens: 4, ignoreEndToken: true });
    expect(chat).toMatchObject({ text: (tokens as { text: string }).text, usage: { promptTokens: 4, newTokens: 4 } });
    expect(tokens).toMatchObject({ logProbabilities: [expect.any(Number), expect.any(Number), expect.any(Number), expect.any(Number)] as number[] });
  });

  test('go on when one of them is wrong', async () => {
    const records = await all([{ prompt: 'a' }, { id: 1, prompt: 'b', options: { topP: 2 } }, { prompt: 'c'.repeat(70) }, { prompt: [99] }, { prompt: 'd', options: { constrain: { regex: '(' } } }, { prompt: 'e' }], { maxNewTokens: 2, ignoreEndToken: true });
    expect(records.map((record) => ('error' in record ? record.error.code : record.tokens.length))).toEqual([2, 'E_OPTION', 'E_CONTEXT', 'E_INPUT', 'E_GRAMMAR', 2]);
    expect(records[1]).toMatchObject({ id: 1, error: { message: expect.stringContaining('topP is 2') as string } });
  });

  test('end with the signal and with who leaves, and the generator stays usable', async () => {
    const stop = new AbortController();
    const prompts = words.map((prompt) => ({ prompt }));
    const seen: number[] = [];
    await expect((async () => {
      for await (const { index } of generateAll(generator, each(prompts), { ignoreEndToken: true, signal: stop.signal })) if (seen.push(index) === 2) stop.abort(new Error('enough'));
    })()).rejects.toThrow('enough');
    expect(seen).toEqual([0, 1]);
    for await (const { index } of generateAll(generator, each(prompts), { ignoreEndToken: true })) if (index === 1) break;
    expect(await all([{ prompt: 'a' }], { maxNewTokens: 3, ignoreEndToken: true })).toMatchObject([{ usage: { newTokens: 3 } }]);
  });

  test('are thrown when the generator is gone, and refused with a wrong bound', async () => {
    const other = await loadGenerator(folder, { threads: 1 });
    await other[Symbol.asyncDispose]();
    await expect(generateAll(other, each([{ prompt: 'a' }])).next()).rejects.toMatchObject({ code: 'E_DISPOSED' });
    for (const maxConcurrent of [0, 1025, 1.5]) await expect(all([], { maxConcurrent })).rejects.toMatchObject({ code: 'E_OPTION' });
  });
});

describe('work in order', () => {
  test('never has more going on, nor more begun before the first is done, than it may', async () => {
    let [running, peak, taken] = [0, 0, 0];
    const hold = held();
    async function* items(): AsyncGenerator<number> {
      for (let i = 0; i < 100; i++) {
        taken++;
        yield i;
      }
    }
    const results = inOrder(items(), { most: 4, ahead: 10, stop: () => {} }, async (item) => {
      peak = Math.max(peak, ++running);
      await (item === 3 ? hold.promise : new Promise((resolve) => setImmediate(resolve)));
      running--;
      return item;
    });
    for (const expected of [0, 1, 2]) expect((await results.next()).value).toBe(expected);
    const fourth = results.next();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    // 0 to 2 are out, 3 holds back those after it
    expect(taken).toBe(13);
    hold.resolve();
    expect((await fourth).value).toBe(3);
    const rest: number[] = [];
    for await (const item of results) rest.push(item);
    expect(rest).toEqual(Array.from({ length: 96 }, (_, i) => i + 4));
    expect(peak).toBe(4);
  });

  test('gives a result while the next item is still to come, and does not end with what comes later', async () => {
    const answered = held();
    const never = held();
    async function* items(): AsyncGenerator<number> {
      yield 0;
      // as who writes the items, and waits for a result before the next one
      await answered.promise;
      yield 1;
      await never.promise;
    }
    const results = inOrder(items(), { most: 4, ahead: 10, stop: () => {} }, async (item) => (await new Promise((resolve) => setImmediate(resolve)), item));
    expect((await results.next()).value).toBe(0);
    answered.resolve();
    expect((await results.next()).value).toBe(1);
    expect(await results.return()).toEqual({ done: true, value: undefined });
    never.resolve();
  });

  test('gives the results that are there before it tells what the items threw', async () => {
    async function* items(): AsyncGenerator<number> {
      yield 0;
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw new Error('no more');
    }
    const results = inOrder(items(), { most: 4, ahead: 10, stop: () => {} }, async (item) => item);
    expect((await results.next()).value).toBe(0);
    await expect(results.next()).rejects.toThrow('no more');
  });

  test('stops what is going on before it waits for it', async () => {
    const stopped = held();
    let closed = false;
    async function* items(): AsyncGenerator<number> {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        closed = true;
      }
    }
    const results = inOrder(items(), { most: 3, ahead: 9, stop: stopped.resolve }, async (item) => (item === 1 ? Promise.reject(new Error('broken')) : item > 1 ? stopped.promise : undefined));
    await expect((async () => { for await (const _ of results); })()).rejects.toThrow('broken');
    expect(closed).toBe(true);
  });
});

describe('a file of prompts', () => {
  test('becomes a file of records that is there when it is whole', async () => {
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    await writeFile(input, '"a"\n{"prompt":"b","id":9,"maxNewTokens":2}\nwrong\n');
    const told: number[] = [];
    const summary = await generateFile(generator, input, { output, maxNewTokens: 5, ignoreEndToken: true, onProgress: ({ done, total }) => told.push(done, total) });
    expect(summary).toMatchObject({ prompts: 3, failed: 1, promptTokens: 4, newTokens: 7 });
    expect(told).toEqual([1, 3, 2, 3, 3, 3]);
    const records = (await readFile(output, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as BatchRecord);
    expect(records).toMatchObject([{ index: 0, usage: { newTokens: 5 } }, { index: 1, id: 9, usage: { newTokens: 2 } }, { index: 2, error: { code: 'E_DATA' } }]);
    await expect(generateFile(generator, input, { output })).rejects.toMatchObject({ code: 'E_EXISTS' });
    const lines: string[] = [];
    await generateFile(generator, input, { maxNewTokens: 5, ignoreEndToken: true, onLine: (line) => lines.push(line) });
    expect(lines.join('')).toBe(await readFile(output, 'utf8'));
  });

  test('leaves nothing when it is ended', async () => {
    const input = join(folder, 'ended.txt');
    await writeFile(input, words.join('\n'));
    const stop = new AbortController();
    const run = generateFile(generator, input, { output: join(folder, 'ended.jsonl'), ignoreEndToken: true, signal: stop.signal, onProgress: ({ done }) => done === 3 && stop.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
    expect((await readdir(folder)).filter((name) => name.startsWith('ended.jsonl'))).toEqual([]);
  });
});
