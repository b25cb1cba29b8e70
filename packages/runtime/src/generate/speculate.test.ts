import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { lookUp } from '../worker/drafts.js';
import { type Generator, loadGenerator } from './generator.js';
import type { GenerateOptions, Speculate } from './options.js';

let [folder, draft, same] = ['', '', ''];
let generator: Generator;

beforeAll(async () => {
  const sizes = { words: 32, places: 64 };
  folder = await writeModelFolder({ '': packedDecoder({ ...sizes, window: 40 }), _stored: tinyDecoder() });
  // The same weights, but what is attended to is softened: right often, not always.
  draft = await writeModelFolder({ '': packedDecoder({ ...sizes, window: 40, softcap: 1 }) });
  same = await writeModelFolder({ '': packedDecoder({ ...sizes, window: 40 }) });
  generator = await loadGenerator(folder, { threads: 1 });
});
afterAll(async () => {
  await generator[Symbol.asyncDispose]();
  for (const path of [folder, draft, same]) await rm(path, { recursive: true });
});

const prompts = ['a', 'the cat sat on the cat', 'abcabcabcabc', 'zz zz zz', 'one, two, three, one, two'];
const sampled: readonly GenerateOptions[] = [{}, { temperature: 1.2, seed: 4 }, { repetitionPenalty: 1.3, frequencyPenalty: 0.4 }, { stop: ['b'] }, { logProbabilities: 3 }];
const plain = (prompt: string, options: GenerateOptions = {}) => generator.generate(prompt, { maxNewTokens: 38, ignoreEndToken: true, ...options });

describe('guessed tokens', () => {
  test('are what followed the same tokens before', () => {
    expect(lookUp([1, 2, 3, 9, 1, 2, 3], 3, 2)).toEqual([9, 1]);
    expect(lookUp([5, 2, 3, 9, 1, 2, 3], 3, 9)).toEqual([9, 1, 2, 3, 9, 1, 2, 3, 9]);
    expect(lookUp([7, 7, 7], 2, 4)).toEqual([7, 7, 7, 7]);
    expect(lookUp([1, 2, 8, 1, 2, 9, 1, 2], 2, 1)).toEqual([9]);
    expect(lookUp([1, 2, 3, 3], 2, 4)).toEqual([]);
    expect(lookUp([1], 2, 4)).toEqual([]);
    expect(lookUp([], 2, 4)).toEqual([]);
  });

  test.each<[string, () => Speculate]>([['n-grams', () => ({ ngram: 2 })], ['many of them', () => ({ ngram: 3, tokens: 15 })], ['a draft', () => ({ draft, tokens: 5 })], ['a draft that is the model', () => ({ draft: same, tokens: 3 })]])('of %s change no token', async (_, speculate) => {
    let [drafted, accepted] = [0, 0];
    for (const prompt of prompts) {
      for (const options of sampled) {
        const { prefillMs: _prefill, decodeMs: _decode, ...expected } = await plain(prompt, options);
        const got = await plain(prompt, { ...options, speculate: speculate() });
        const close = (values: readonly number[] | undefined) => values?.map((value) => expect.closeTo(value, 4) as number);
        expect(got).toMatchObject({ ...expected, ...(expected.logProbabilities && { logProbabilities: close(expected.logProbabilities) }) });
        drafted += got.speculation!.drafted;
        accepted += got.speculation!.accepted;
      }
    }
    expect(accepted).toBeGreaterThan(20);
    expect(drafted).toBeGreaterThanOrEqual(accepted);
  });

  test('of the model itself are all right, and fewer runs are needed', async () => {
    const { speculation, tokens } = await plain('the cat', { speculate: { draft: same, tokens: 3 } });
    expect(speculation!.accepted).toBe(speculation!.drafted);
    // The first token is read with the prompt; of four that follow, three are guessed.
    expect(speculation!.drafted).toBe(Math.floor(((tokens.length - 1) * 3) / 4));
  });

  test('beside other texts of a batch change none of them, whoever guesses', async () => {
    const options: readonly GenerateOptions[] = [{}, { speculate: { ngram: 2, tokens: 7 } }, { temperature: 1, seed: 2 }, { speculate: { draft } }, { temperature: 1, seed: 3, speculate: { draft: same } }, { maxNewTokens: 5, speculate: { ngram: 2 } }, { speculate: { ngram: 2 }, maxNewTokens: 1 }, {}, {}, { speculate: { ngram: 4 } }];
    const alone: string[] = [];
    for (const [i, { speculate: _speculate, ...rest }] of options.entries()) alone.push((await plain(prompts[i % prompts.length]!, rest)).text);
    const together = await Promise.all(options.map((given, i) => plain(prompts[i % prompts.length]!, given)));
    expect(together.map(({ text }) => text)).toEqual(alone);
    expect(together.map(({ speculation }) => speculation !== undefined)).toEqual(options.map(({ speculate }) => speculate !== undefined));
  });

  test('fill the context to its last place', async () => {
    const whole = await generator.generate('abcabcabc', { ignoreEndToken: true });
    expect(await generator.generate('abcabcabc', { ignoreEndToken: true, speculate: { ngram: 2, tokens: 15 } })).toMatchObject({ text: whole.text, finishReason: 'length' });
    expect(await generator.generate('abcabcabc', { ignoreEndToken: true, speculate: { draft: same, tokens: 15 } })).toMatchObject({ text: whole.text, finishReason: 'length' });
  });

  test('go with a grammar', async () => {
    const options = { constrain: { regex: '(abc|abd){8}' }, temperature: 1, seed: 5 };
    const held = await plain('abcabd', options);
    expect(held.text).toMatch(/^(abc|abd){8}$/);
    const guessed = await plain('abcabd', { ...options, speculate: { ngram: 2 } });
    expect(guessed.text).toBe(held.text);
    expect(guessed.speculation!.accepted).toBeGreaterThan(0);
  });

  test.each([{}, { ngram: 1 }, { ngram: 33 }, { ngram: 2, tokens: 0 }, { ngram: 2, tokens: 16 }, { ngram: 2, draft: 'x' }, { ngram: 2.5 }])('%j is refused', async (speculate) => {
    await expect(plain('a', { speculate: speculate as Speculate })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('need a model that can take them back, and a draft with the same tokens', async () => {
    await expect(plain('a', { speculate: { draft: '/nowhere' } })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    const unlike = await writeModelFolder({ '': packedDecoder({ words: 12 }) }, {}, { tokenizer: { ...(await import('../testing/grammar-vocabularies.js')).byteLevelTokenizer }, vocabSize: 12 });
    await expect(plain('a', { speculate: { draft: unlike } })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('other tokens') as string });
    await using stored = await loadGenerator(folder, { threads: 1, variant: 'stored' });
    await expect(stored.generate('a', { speculate: { ngram: 2 } })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    await rm(unlike, { recursive: true });
  });
});
