/** The embedded model, converted, against what PyTorch recorded of it (models/sapling/expected.json, written by transformers). */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRecipe } from '@penjing/recipe';
import { evaluateModel, loadGenerator, loadTokenizer } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from './architecture/sources.js';

interface Expected {
  readonly heldOutExcerpt: { readonly windows: number; readonly perplexity: number };
  readonly greedy: readonly { readonly prompt: string; readonly inputIds: readonly number[]; readonly newIds: readonly number[]; readonly text: string }[];
}

const sapling = join(root, 'models', 'sapling');
let folder = '';
let expected: Expected;

beforeAll(async () => {
  expected = JSON.parse(await readFile(join(sapling, 'expected.json'), 'utf8')) as Expected;
  folder = await mkdtemp(join(tmpdir(), 'penjing-sapling-'));
  await runRecipe({ input: sapling, output: join(folder, 'sapling'), steps: [{ convert: {} }] }, { check: false });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('greedy text is that of PyTorch, token by token', async () => {
  await using generator = await loadGenerator(join(folder, 'sapling'));
  for (const { prompt, inputIds, newIds, text } of expected.greedy) {
    expect(generator.tokenizer.encode(prompt)).toEqual(inputIds);
    expect(await generator.generate(prompt, { maxNewTokens: newIds.length })).toMatchObject({ tokens: newIds, text });
  }
});

test('held-out perplexity is that of PyTorch within 0.001 %', async () => {
  const text = await readFile(join(sapling, 'heldout.txt'), 'utf8');
  const { windows, perplexity } = expected.heldOutExcerpt;
  // whole windows, and no token before the text, as there
  const tokenizer = await loadTokenizer(sapling);
  const ours = await evaluateModel(join(folder, 'sapling'), { tokens: tokenizer.encode(text, { specialTokens: false }), maxTokens: 512 * windows });
  expect(Math.abs(ours.perplexity! / perplexity - 1)).toBeLessThan(1e-5);
});
