/** Keys and values in bytes, against the same decoders with numbers. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { benchModel, evaluateModel, loadGenerator } from '../index.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': packedDecoder({ words: 32 }), _window: packedDecoder({ words: 32, window: 9 }), _softcap: packedDecoder({ words: 32, softcap: 3 }), _plain: tinyDecoder() })));
afterAll(() => rm(folder, { recursive: true }));

const options = { maxNewTokens: 20, ignoreEndToken: true, logProbabilities: 0 };

const text = 'the boats were late. the fog was early, and nobody was there to see.';

test.each(['fp32', 'window', 'softcap'])('%s: what is predicted stays close, wherever in a text', async (variant) => {
  const measure = (kvCache?: 'int8') => evaluateModel({ path: folder, variant }, { text, threads: 1, windowTokens: 60, kvCache });
  const [numbers, bytes] = [await measure(), await measure('int8')];
  expect(bytes.perplexity).not.toBe(numbers.perplexity);
  for (const [i, { tokens, nllA }] of numbers.losses!.contexts.entries()) expect(Math.abs(bytes.losses!.contexts[i]!.nllA - nllA) / tokens).toBeLessThan(0.02);
});

test('a text is the same alone and among others', async () => {
  await using bytes = await loadGenerator(folder, { threads: 1, kvCache: 'int8' });
  const alone = await bytes.generate('a harbour', options);
  const [together] = await Promise.all(['a harbour', 'quiet boats', 'fog'].map((prompt) => bytes.generate(prompt, options)));
  expect(together).toMatchObject({ tokens: alone.tokens, logProbabilities: alone.logProbabilities });
});

test('a text goes on from what was read before, and guesses are taken back', async () => {
  await using bytes = await loadGenerator(folder, { threads: 1, kvCache: 'int8' });
  const plain = await bytes.generate('on and on and on', options);
  expect((await bytes.generate('on and on and on', options)).tokens).toEqual(plain.tokens);
  const guessed = await bytes.generate('on and on and on', { ...options, speculate: { ngram: 2 } });
  expect(guessed.tokens).toEqual(plain.tokens);
  expect(guessed.speculation!.drafted).toBeGreaterThan(0);
});

test('the same steps are found each time', async () => {
  const written = [];
  for (let i = 0; i < 2; i++) {
    await using bytes = await loadGenerator(folder, { threads: 1, kvCache: 'int8' });
    written.push((await bytes.generate('twice', options)).logProbabilities);
  }
  expect(written[0]).toEqual(written[1]);
});

test('it is measured as it generates', async () => {
  expect((await benchModel(folder, { threads: 1, kvCache: 'int8', runs: 1, promptTokens: 8, newTokens: 4 })).decode?.newTokens).toBe(4);
});

test('where keys and values cannot be bytes, it is said', async () => {
  await expect(loadGenerator(folder, { variant: 'plain', kvCache: 'int8' })).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining('int8') as string });
  await expect(loadGenerator(folder, { asStored: true, kvCache: 'int8' })).rejects.toMatchObject({ code: 'E_OPTION' });
  await expect(evaluateModel(folder, { kvCache: 'int8', byLayer: true })).rejects.toMatchObject({ code: 'E_OPTION' });
  await expect(evaluateModel(packedDecoder(), { kvCache: 'int8' })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
});
