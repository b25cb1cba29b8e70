/** GGUF decoders to ONNX, on ONNX Runtime, against what PyTorch recorded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { convertHuggingFace, type ConvertHuggingFaceOptions, ggufToHuggingFace, openGguf } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { testEngine } from './support/ort-session.js';
import { describe, expect, test } from 'vitest';
import { argmax, CachedDecoder, type Floats, type Ids, maxDifference, recorded } from './support/hf-decoder.js';
import { expectExactBlocks } from './support/gguf-llama.js';
import { testData } from './tools/test-data.js';

async function decoder(path: string, options: ConvertHuggingFaceOptions = {}): Promise<CachedDecoder> {
  const folder = await ggufToHuggingFace(await openGguf(await fileSource(path)), path);
  return new CachedDecoder(await testEngine().load(await convertHuggingFace(folder, options)));
}

async function greedy(llama: CachedDecoder, prompt: Ids, count: number): Promise<number[]> {
  llama.reset();
  const tokens: number[] = [];
  let logits = await llama.forward(prompt);
  for (;;) {
    tokens.push(argmax(logits));
    if (tokens.length === count) return tokens;
    logits = await llama.forward({ data: BigInt64Array.of(BigInt(tokens.at(-1)!)), shape: [1, 1] });
  }
}

interface Case {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
}

test.each(['Q4_K', 'Q6_K', 'Q2_K'] as const)('a model of %s blocks gives the logits of its weights as floats, its rows rearranged', expectExactBlocks);

describe.skipIf(!testData)('stories260K (needs PENJING_TESTDATA)', () => {
  const root = join(testData ?? '', 'models/stories260k');
  const { cases } = testData ? (JSON.parse(readFileSync(join(root, 'expected.json'), 'utf8')) as { cases: Case[] }) : { cases: [] };
  const prompts = cases.map(({ prompt_ids }): Ids => ({ data: BigInt64Array.from(prompt_ids, BigInt), shape: [1, prompt_ids.length] }));
  const path = (type: string): string => join(root, `gguf/stories260K-${type}.gguf`);

  const logitsOf = async (llama: CachedDecoder): Promise<Floats[]> => {
    const all: Floats[] = [];
    for (const prompt of prompts) {
      llama.reset();
      all.push(await llama.forward(prompt));
    }
    return all;
  };

  test('F32 gives the recorded logits and tokens', async () => {
    const { floats } = await recorded(join(root, 'expected_logits.safetensors'));
    await using llama = await decoder(path('F32'));
    for (const [i, logits] of (await logitsOf(llama)).entries()) expect(maxDifference(logits, floats(`case${i}.logits`))).toBeLessThan(1e-4);
    for (const [i, { greedy_ids }] of cases.entries()) expect(await greedy(llama, prompts[i]!, greedy_ids.length)).toEqual(greedy_ids);
  });

  test.each(['Q8_0', 'Q4_0'])('%s: blocks kept give the logits of the weights as floats', async (type) => {
    await using floats = await decoder(path(type), { blocks: 'float' });
    const wanted = await logitsOf(floats);
    await using exact = await decoder(path(type));
    const difference = async (llama: CachedDecoder): Promise<number> =>
      Math.max(...(await logitsOf(llama)).map((logits, i) => maxDifference(logits, wanted[i]!)));
    expect(await difference(exact)).toBeLessThan(1e-3);
    await using fast = await decoder(path(type), { blocks: 'int8' });
    const lost = await difference(fast);
    expect(lost).toBeGreaterThan(1e-3); // why it is not the default
    expect(lost).toBeLessThan(1);
    for (const prompt of prompts) {
      expect(await greedy(exact, prompt, 40)).toEqual(await greedy(floats, prompt, 40));
    }
  });
});
