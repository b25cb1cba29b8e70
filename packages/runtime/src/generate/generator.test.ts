import { rm } from 'node:fs/promises';
import { denseOf, type Executor } from '@penjing/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ortEngine } from '../engine/ort-engine.js';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { type Generator, loadGenerator } from './generator.js';

let folder: string;
let generator: Generator;
let whole: Executor;

beforeAll(async () => {
  folder = await writeModelFolder({ '': tinyDecoder(), _q4: tinyDecoder({ noise: 0.01 }), _nocache: tinyDecoder({ cache: false }), _q4f16: tinyDecoder({ half: true }) });
  generator = await loadGenerator(folder, { threads: 1 });
  whole = await ortEngine({ threads: 1 }).load(tinyDecoder({ cache: false }));
});
afterAll(async () => {
  await generator[Symbol.asyncDispose]();
  await whole[Symbol.asyncDispose]();
  expect(liveSessionHosts()).toBe(0);
  await rm(folder, { recursive: true });
});

/** Greedy tokens by running the whole sequence at each step, without any of the code under test. */
async function greedy(prompt: readonly number[], count: number): Promise<number[]> {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const row = (values: readonly number[]) => denseOf('int64', [1, values.length], values);
    const { logits } = await whole.run({ input_ids: row(tokens), attention_mask: row(tokens.map(() => 1)), position_ids: row([...tokens.keys()]) });
    const last = (logits as ReturnType<typeof row>).data.slice(-32) as Float32Array;
    tokens.push(last.indexOf(Math.max(...last)));
  }
  return tokens.slice(prompt.length);
}

describe('generation', () => {
  test('cached greedy decoding equals reading everything at each step', async () => {
    for (const prompt of ['a', 'the quick brown fox', 'zzz']) {
      const ids = generator.tokenizer.encode(prompt);
      const { tokens, text, promptTokens } = await generator.generate(prompt, { maxNewTokens: 20, ignoreEndToken: true });
      expect(tokens).toEqual(await greedy(ids, 20));
      expect(promptTokens).toBe(ids.length);
      expect(text).toBe(generator.tokenizer.decode(tokens));
    }
  });

  test('a model without a cache generates the same', async () => {
    await using uncached = await loadGenerator(folder, { variant: 'nocache', threads: 1 });
    const options = { maxNewTokens: 12, ignoreEndToken: true };
    expect((await uncached.generate('hello', options)).tokens).toEqual((await generator.generate('hello', options)).tokens);
  });

  test('caches and logits may be float16', async () => {
    await using half = await loadGenerator(folder, { variant: 'q4f16', threads: 1 });
    const options = { maxNewTokens: 12, ignoreEndToken: true };
    expect((await half.generate('halves', options)).tokens).toEqual((await generator.generate('halves', options)).tokens);
  });

  test('several generations at once do not disturb each other', async () => {
    const options = { maxNewTokens: 15, temperature: 1, ignoreEndToken: true };
    const alone = await Promise.all(['a', 'b', 'c'].map((prompt, seed) => generator.generate(prompt, { ...options, seed })));
    for (const [seed, prompt] of ['a', 'b', 'c'].entries()) {
      expect((await generator.generate(prompt, { ...options, seed })).tokens).toEqual(alone[seed]!.tokens);
    }
  });

  test('seeds decide sampled text', async () => {
    const sample = async (seed: number) => (await generator.generate('go', { temperature: 1.5, seed, maxNewTokens: 30, ignoreEndToken: true })).text;
    expect(await sample(1)).toBe(await sample(1));
    expect(await sample(1)).not.toBe(await sample(2));
  });

  test('choices of a prompt differ, the first is the text of the seed, and the same seed gives the same', async () => {
    const options = { temperature: 1.5, seed: 3, maxNewTokens: 12, ignoreEndToken: true };
    const heard: string[] = ['', '', '', ''];
    const choices = await generator.choices('choose', 4, { ...options, onText: (text, choice) => (heard[choice] += text) });
    expect(new Set(choices.map(({ text }) => text)).size).toBe(4);
    expect(heard).toEqual(choices.map(({ text }) => text));
    expect(choices[0]!.text).toBe((await generator.generate('choose', options)).text);
    expect((await generator.choices('choose', 4, options)).map(({ text }) => text)).toEqual(heard);
  });

  test('choices out of range and one that fails are told, and leave nothing behind', async () => {
    for (const count of [0, 129, 1.5, NaN]) await expect(generator.choices('a', count)).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('from 1 to 128') as string });
    await expect(generator.choices('a', 3, { maxNewTokens: 64 })).rejects.toMatchObject({ code: 'E_CONTEXT' });
    await expect(generator.choices('a', 3, { onText: () => { throw new Error('deaf'); } })).rejects.toThrow('deaf');
    expect((await generator.generate('a', { maxNewTokens: 3, ignoreEndToken: true })).tokens).toHaveLength(3);
  });

  test('the stream gives the text of generate, piece by piece', async () => {
    const options = { maxNewTokens: 20, ignoreEndToken: true };
    const { text } = await generator.generate('stream', options);
    let streamed = '';
    const heard: string[] = [];
    for await (const piece of generator.stream('stream', { ...options, onText: (part) => heard.push(part) })) streamed += piece.text;
    expect(streamed).toBe(text);
    expect(heard.join('')).toBe(text);
  });

  test('stop strings end the text before they begin', async () => {
    const { text } = await generator.generate('stop', { maxNewTokens: 30, ignoreEndToken: true });
    const stop = text.slice(4, 7);
    const cut = await generator.generate('stop', { maxNewTokens: 30, ignoreEndToken: true, stop: [stop] });
    expect(cut).toMatchObject({ finishReason: 'stop', text: text.slice(0, text.indexOf(stop)) });
  });

  test('stop tokens and end tokens end the text and are not part of it', async () => {
    const free = await generator.generate('end', { maxNewTokens: 10, ignoreEndToken: true });
    const stopToken = free.tokens[3]!;
    const at = free.tokens.indexOf(stopToken);
    const stopped = await generator.generate('end', { maxNewTokens: 10, ignoreEndToken: true, stopTokens: [stopToken] });
    expect(stopped).toMatchObject({ finishReason: 'stop', tokens: free.tokens.slice(0, at) });
    const ending = await writeModelFolder({ '': tinyDecoder() }, { eos_token_id: [1, stopToken] });
    await using second = await loadGenerator(ending, { threads: 1 });
    expect(await second.generate('end', { maxNewTokens: 10 })).toMatchObject({ finishReason: 'end', tokens: free.tokens.slice(0, at) });
    await rm(ending, { recursive: true });
  });

  test('a prompt may be token ids, and an empty text begins with the model’s first token', async () => {
    const options = { maxNewTokens: 5, ignoreEndToken: true };
    expect((await generator.generate([0, 5, 6], options)).tokens).toEqual((await generator.generate('de', options)).tokens);
    expect((await generator.generate('', options)).promptTokens).toBe(1);
    expect((await generator.generate([], options)).promptTokens).toBe(1);
  });

  test('log-probabilities come with each token, and add up', async () => {
    const { tokens, logProbabilities } = await generator.generate('likely', { maxNewTokens: 4, ignoreEndToken: true, logProbabilities: 32 - 12 });
    expect(logProbabilities).toHaveLength(4);
    const seen: number[] = [];
    for await (const { token, logProbability, likeliest } of generator.stream('likely', { maxNewTokens: 4, ignoreEndToken: true, logProbabilities: 20 })) {
      // greedy: the likeliest of them is the one
      expect(likeliest![0]).toEqual({ token, logProbability });
      expect(likeliest!.reduce((sum, { logProbability: log }) => sum + Math.exp(log), 0)).toBeLessThan(1 + 1e-6);
      seen.push(token);
    }
    expect(seen).toEqual(tokens);
  });

  test('conversations go through the template', () => {
    expect(generator.chatPrompt([{ role: 'user', content: 'ab' }])).toEqual([0, 2, 3, 29]);
  });
});

describe('limits', () => {
  test('a text that does not fit is an error, never a cut', async () => {
    await expect(generator.generate('a', { maxNewTokens: 63 })).rejects.toMatchObject({ code: 'E_CONTEXT' });
    await expect(generator.generate('a'.repeat(63))).rejects.toMatchObject({ code: 'E_CONTEXT' });
    expect(await generator.generate('a', { ignoreEndToken: true })).toMatchObject({ finishReason: 'length', promptTokens: 2 });
    expect((await generator.generate('a', { ignoreEndToken: true })).tokens).toHaveLength(62);
  });

  test.each([
    { temperature: -1 }, { temperature: NaN }, { topK: 1.5 }, { topK: -1 }, { topP: 0 }, { topP: 1.1 }, { minP: 2 },
    { repetitionPenalty: 0 }, { frequencyPenalty: NaN }, { presencePenalty: 101 }, { logitBias: new Map([[-1, 1]]) }, { logitBias: new Map([[1, 101]]) }, { logProbabilities: 21 }, { logProbabilities: 0.5 }, { stop: Array<string>(65).fill('x') }, { stop: ['x'.repeat(1025)] }, { stopTokens: [32] }, { stopTokens: [-1] }, { seed: -1 }, { seed: 0.5 }, { maxNewTokens: 0 }, { maxNewTokens: Infinity },
  ])('%o is out of range', async (options) => {
    await expect(generator.generate('a', options)).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('tokens outside the vocabulary are refused before they reach the model', async () => {
    await expect(generator.generate([0, 32])).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(generator.generate([0.5])).rejects.toMatchObject({ code: 'E_INPUT' });
  });

  test('variants that are not there are named', async () => {
    await expect(loadGenerator(folder, { variant: 'fp16' })).rejects.toMatchObject({ code: 'E_NOT_FOUND', hint: expect.stringContaining('q4') as string });
    await expect(loadGenerator('/nowhere')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});

describe('cancellation', () => {
  test('an aborted signal stops at a token and leaves the generator usable', async () => {
    const controller = new AbortController();
    const pieces: string[] = [];
    const run = generator.generate('cancel', { ignoreEndToken: true, signal: controller.signal, onText: (text) => pieces.push(text) === 3 && controller.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
    expect(pieces.length).toBeLessThan(57);
    await expect(generator.generate('a', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
    expect((await generator.generate('a', { maxNewTokens: 3, ignoreEndToken: true })).tokens).toHaveLength(3);
  });

  test('leaving the loop stops the generation', async () => {
    for await (const { token } of generator.stream('leave', { ignoreEndToken: true })) {
      expect(token).toBeGreaterThanOrEqual(0);
      break;
    }
    expect((await generator.generate('a', { maxNewTokens: 3, ignoreEndToken: true })).tokens).toHaveLength(3);
  });

  test('disposing rejects what is running, and later calls', async () => {
    const other = await loadGenerator(folder, { variant: 'q4', threads: 1 });
    const run = expect(other.generate('long', { ignoreEndToken: true })).rejects.toMatchObject({ code: 'E_DISPOSED' });
    await other[Symbol.asyncDispose]();
    await run;
    await expect(other.generate('a')).rejects.toMatchObject({ code: 'E_DISPOSED' });
  });
});
