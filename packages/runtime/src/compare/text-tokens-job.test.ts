/** Texts are split in the worker: here, on the calling thread, loading a tokenizer throws. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeModelFolder } from '../testing/model-folder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import { compareModels } from './compare-models.js';
import { evaluateModel } from './evaluate-model.js';

vi.mock('../tokenize/tokenizer-files.js', () => ({ loadTokenizer: vi.fn(() => { throw new Error('on the calling thread'); }) }));

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': tinyDecoder(), _q4: tinyDecoder({ noise: 0.01 }) })));
afterAll(() => rm(folder, { recursive: true }));

const text = 'the quick brown fox jumps over a lazy dog, and over another.';
/** `<s>`, then what stands where in the alphabet of the folder. */
const tokens = [0, ...[...text].map((letter) => 2 + 'abcdefghijklmnopqrstuvwxyz \n.,'.indexOf(letter))];

test('a text is measured as its tokens are', async () => {
  const given = { threads: 1, windowTokens: 16, stride: 8 };
  const byText = await evaluateModel(folder, { ...given, text });
  const byTokens = await evaluateModel(folder, { ...given, tokens });
  expect(byText).toMatchObject({ perplexity: byTokens.perplexity, losses: byTokens.losses, count: tokens.length - 1 });
  const layered = await evaluateModel(folder, { ...given, text, byLayer: true });
  expect(layered.perplexity! / byTokens.perplexity!).toBeCloseTo(1, 4);
  const [a, b] = [folder, { path: folder, variant: 'q4' }];
  expect((await compareModels(a, b, { ...given, text })).klDivergence).toBe((await compareModels(a, b, { ...given, tokens })).klDivergence);
  expect(loadTokenizer).not.toHaveBeenCalled();
});

test('a model in memory takes the tokenizer of a folder, and is refused a text without', async () => {
  const given = { threads: 1, text };
  expect((await evaluateModel(tinyDecoder(), { ...given, tokenizerFolder: folder })).count).toBe(tokens.length - 1);
  await expect(evaluateModel(tinyDecoder(), given)).rejects.toMatchObject({ code: 'E_INPUT', hint: expect.stringContaining('tokenizerFolder') as string });
  await expect(evaluateModel(tinyDecoder(), { ...given, tokenizerFolder: '/nowhere' })).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
});
