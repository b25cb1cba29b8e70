import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { sessionSettings } from '../engine/settings.js';
import { generationForm } from '../generate/generation-form.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { Batcher } from './batcher.js';
import { BufferedDecoder } from './buffered-decoder.js';
import { FormRunner } from './form-runner.js';
import { SessionTable } from './session-table.js';

const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logProbabilities: undefined, seed: 0 };
let sessions: SessionTable;
let runner: FormRunner;
let alone: (prompt: readonly number[], count: number) => Promise<number[]>;

beforeAll(async () => {
  const { model, form } = await generationForm(packedDecoder({ window: 40 }));
  sessions = new SessionTable(ort, { pass: (call) => call() });
  const bytes = await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!);
  const { handle } = await sessions.open({ kind: 'memory', bytes: bytes.buffer as ArrayBuffer, externalData: [] }, sessionSettings({ threads: 1 }, { bytes: 0, quantized: false, byPath: false }));
  runner = new FormRunner(sessions, handle, form);
  alone = async (prompt, count) => {
    const decoder = new BufferedDecoder(sessions, handle, form);
    const tokens: number[] = [];
    for (let next = prompt; tokens.length < count; next = [tokens.at(-1)!]) {
      const row = (await decoder.forward(next)).row(0);
      tokens.push(row.indexOf(Math.max(...row)));
    }
    return tokens;
  };
});
afterAll(() => sessions.closeAll());

const prompt = (seed: number, length: number): number[] => Array.from({ length }, (_, i) => (7 * seed + 5 * i * i + i) % 12);

const through = (forward: FormRunner['forward']): ConstructorParameters<typeof Batcher>[0] => ({ api: runner.api, form: runner.form, forward });

function write(batcher: Batcher, ids: readonly number[], maxNewTokens: number, { signal = new AbortController().signal, onToken = () => {}, endTokens = [] }: { signal?: AbortSignal; onToken?: (token: number) => void; endTokens?: number[] } = {}) {
  const tokens: number[] = [];
  const result = batcher.write({ prompt: ids, maxNewTokens, endTokens, sampling: greedy }, { signal, onToken: ({ token }) => (tokens.push(token), onToken(token)) });
  return { tokens, result };
}

describe('texts that are written together', () => {
  test('are those that are written alone, whoever joins and leaves', async () => {
    const batcher = new Batcher(runner, () => 32);
    const jobs = Array.from({ length: 13 }, (_, i) => ({ ids: prompt(i, 1 + ((11 * i) % 37)), count: 3 + ((7 * i) % 20) }));
    const written = jobs.map(({ ids, count }) => write(batcher, ids, count));
    const results = await Promise.all(written.map(({ result }) => result));
    expect(results.every(({ finish }) => finish === 'length')).toBe(true);
    for (const [i, { ids, count }] of jobs.entries()) expect(written[i]!.tokens).toEqual(await alone(ids, count));
    expect([batcher.size, batcher.bytes]).toEqual([0, 0]);
  });

  test('go on from what was read before', async () => {
    const batcher = new Batcher(runner, () => 8);
    const ids = prompt(3, 50);
    let runs = 0;
    const counting = new Batcher(through((...args) => (runs++, runner.forward(...args))), () => 8);
    await write(counting, ids, 1).result;
    const first = runs;
    const again = write(counting, [...ids, 4, 2], 6);
    await again.result;
    expect(first).toBe(7);
    expect(runs - first).toBe(1 + 5);
    const fresh = write(batcher, [...ids, 4, 2], 6);
    await fresh.result;
    expect(again.tokens).toEqual(fresh.tokens);
  });

  test('go on from nothing without room for it', async () => {
    let runs = 0;
    const counting = new Batcher(through((...args) => (runs++, runner.forward(...args))), () => 8, { prefixBytes: 0 });
    const ids = prompt(3, 50);
    for (const reads of [1, 2]) {
      const text = write(counting, ids, 3);
      await text.result;
      expect(text.tokens).toEqual(await alone(ids, 3));
      expect(runs).toBe(reads * (7 + 2));
    }
  });

  test('end at their own end token, which is not written', async () => {
    const batcher = new Batcher(runner, () => 32);
    const [one, two] = [prompt(1, 9), prompt(2, 5)];
    const words = await alone(one, 12);
    const stop = words[4]!;
    const [short, long] = [write(batcher, one, 12, { endTokens: [stop] }), write(batcher, two, 12)];
    expect(await short.result).toMatchObject({ finish: 'end-token', endToken: stop });
    expect(short.tokens).toEqual(words.slice(0, words.indexOf(stop)));
    await long.result;
    expect(long.tokens).toEqual(await alone(two, 12));
  });

  test('200 that are cancelled at any time leave nothing behind', async () => {
    const batcher = new Batcher(runner, () => 16);
    const results = await Promise.all(Array.from({ length: 200 }, (_, i) => {
      const stop = new AbortController();
      const text = write(batcher, prompt(i, 1 + (i % 30)), 20, { signal: stop.signal, onToken: () => text.tokens.length === 1 + (i % 7) && stop.abort() });
      if (i % 5 === 0) stop.abort();
      return text.result;
    }));
    expect(results.every(({ finish }) => finish === 'cancelled')).toBe(true);
    expect([batcher.size, batcher.bytes]).toEqual([0, 0]);
  });

  test('a draft that fails is told to its text, and the others go on', async () => {
    const batcher = new Batcher(runner, () => 16, { drafter: () => ({ guess: () => Promise.reject(new Error('no idea')) }) });
    // the first, since rows of several tokens do not share a run: nothing is guessed beside others
    const speculating = batcher.write({ prompt: prompt(3, 5), maxNewTokens: 9, endTokens: [], sampling: greedy, speculation: { tokens: 2, ngram: 2 } }, { signal: new AbortController().signal, onToken: () => {} });
    const [one, two] = [write(batcher, prompt(1, 4), 9), write(batcher, prompt(2, 4), 9)];
    await expect(speculating).rejects.toThrow('no idea');
    await Promise.all([one.result, two.result]);
    expect([one.tokens, two.tokens]).toEqual([await alone(prompt(1, 4), 9), await alone(prompt(2, 4), 9)]);
    expect([batcher.size, batcher.bytes]).toEqual([0, 0]);
  });

  test('a prompt that there is no room for is told to its text, and the others go on', async () => {
    const batcher = new Batcher(runner, () => 16);
    // more keys and values than any buffer holds
    const endless = { length: 2 ** 50, *[Symbol.iterator](): Generator<number> {} } as unknown as readonly number[];
    const [one, two] = [write(batcher, prompt(1, 4), 5), write(batcher, endless, 5).result];
    await expect(two).rejects.toMatchObject({ code: 'E_MEMORY' });
    await one.result;
    expect(one.tokens).toEqual(await alone(prompt(1, 4), 5));
    expect(batcher.size).toBe(0);
  });

  test('a run that fails is told to everybody, and the next one works', async () => {
    let broken = true;
    const failing = new Batcher(through((...args) => (broken ? Promise.reject(new Error('broken')) : runner.forward(...args))), () => 16);
    const results = await Promise.allSettled([1, 2, 3].map((seed) => write(failing, prompt(seed, 4), 5).result));
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
    expect(failing.size).toBe(0);
    broken = false;
    const text = write(failing, prompt(1, 4), 5);
    await text.result;
    expect(text.tokens).toEqual(await alone(prompt(1, 4), 5));
  });
});
