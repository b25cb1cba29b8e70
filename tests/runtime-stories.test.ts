/** A real Llama (stories260K), converted and quantized by us, against what PyTorch recorded of it. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertHuggingFace, openHuggingFaceFolder, serializeOnnx, transformersJsFiles, transformersJsModels } from '@penjing/graph-io';
import { openFolder, saveLayouts } from '@penjing/graph-io/node';
import { quantizeWeights } from '@penjing/quantize';
import { benchModel, compareModels, evaluateModel, loadGenerator } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testData } from './tools/test-data.js';

interface Case {
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly greedy_text: string;
}

const stories = join(testData ?? '', 'models', 'stories260k');
let temporary = '';
let folder = '';
let cases: readonly Case[] = [];

describe.skipIf(!testData)('stories260K', () => {
  beforeAll(async () => {
    ({ cases } = JSON.parse(await readFile(join(stories, 'expected.json'), 'utf8')) as { cases: Case[] });
    temporary = await mkdtemp(join(tmpdir(), 'penjing-test-'));
    folder = join(temporary, 'stories');
    const source = await openHuggingFaceFolder(openFolder(join(stories, 'hf')));
    const layouts = await transformersJsFiles(source, [{ dtype: 'fp32' }, { dtype: 'q8' }, { dtype: 'q4' }]);
    layouts.push(...serializeOnnx(await convertHuggingFace(source), { name: transformersJsModels.fp32 }));
    for (const [bits, dtype] of [[8, 'q8'], [4, 'q4']] as const) {
      const { model } = await quantizeWeights({ bits, blockSize: 32 }).run(await convertHuggingFace(source), {});
      layouts.push(...serializeOnnx(model, { name: transformersJsModels[dtype] }));
    }
    await saveLayouts(folder, layouts);
  });
  afterAll(() => rm(temporary, { recursive: true, force: true }));

  test('greedy text is that of PyTorch, token by token', async () => {
    await using generator = await loadGenerator(folder);
    expect(generator.contextLength).toBe(512);
    for (const { prompt, prompt_ids, greedy_ids, greedy_text } of cases) {
      const { tokens, text, promptTokens } = await generator.generate(prompt, { maxNewTokens: greedy_ids.length });
      expect(tokens).toEqual(greedy_ids);
      expect(promptTokens).toBe(prompt_ids.length);
      expect(text).toBe(prompt === '' ? greedy_text.trimStart() : greedy_text);
    }
  });

  test('what quantizing loses grows as bits go', async () => {
    const text = cases.map(({ prompt, greedy_text }) => prompt + greedy_text).join('\n');
    const [eight, four] = [await compareModels(folder, { path: folder, variant: 'q8' }, { text }), await compareModels(folder, { path: folder, variant: 'q4' }, { text })];
    const { perplexity } = await evaluateModel(folder, { text });
    expect(eight.a.perplexity).toBeCloseTo(perplexity!, 6);
    expect(perplexity).toBeGreaterThan(1);
    expect(eight.klDivergence).toBeLessThan(four.klDivergence!);
    expect(eight.topTokenAgreement).toBeGreaterThan(0.95);
    expect(four.topTokenAgreement).toBeGreaterThan(0.6);
    expect(four.b.bytes).toBeLessThan(eight.b.bytes);
    expect(eight.b.bytes).toBeLessThan(eight.a.bytes);
  });

  test('it can be benchmarked', async () => {
    const { prefill, decode, kind } = await benchModel({ path: folder, variant: 'q4' }, { runs: 1, warmup: 0, promptTokens: 32, newTokens: 8 });
    expect(kind).toBe('language');
    expect(prefill!.tokensPerSecond).toBeGreaterThan(0);
    expect(decode!.latency.count).toBe(8);
  });
});
