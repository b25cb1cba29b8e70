/** Converted decoders against what transformers computed with the same checkpoints. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { allNodes, type Model } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { quantizeWeights } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { greedy, type Ids, maxDifference, recorded } from './support/hf-decoder.js';
import { cachedDecoder, decoderCases, decoderSuite } from './support/hf-decoder-suite.js';

decoderSuite('decoders', decoderCases('decoders'), ['gqa', 'standard']);

const folderOf = (name: string): string => fileURLToPath(new URL(`./fixtures/decoders/${name}`, import.meta.url));
const convert = async (name: string, options: ConvertHuggingFaceOptions = {}): Promise<Model> =>
  convertHuggingFace(await openHuggingFaceFolder(openFolder(folderOf(name))), options);

describe('experts', () => {
  test.each(['mixtral', 'qwen3-moe'])('%s: every expert is quantized, and runs when no token was sent to it', async (name) => {
    const model = await convert(name);
    const before = [...allNodes(model.graph)].filter(({ opType, inputs }) => opType === 'MatMul' && inputs[1]?.tensor).length;
    const options = { bits: 8, accuracyLevel: 1, blockSize: 16, embeddings: false } as const;
    await quantizeWeights(options).run(model, {});
    const operators = [...allNodes(model.graph)].map(({ opType }) => opType);
    expect(operators.filter((type) => type === 'MatMulNBits')).toHaveLength(before);
    expect(before).toBeGreaterThan(20);
    await using decoder = await cachedDecoder(model);
    const { floats, ids } = await recorded(join(folderOf(name), 'expected.safetensors'));
    const one: Ids = { data: ids('prefill.input_ids').data.slice(0, 1), shape: [1, 1] };
    // one token reaches two experts; the others compute nothing
    const logits = await decoder.forward(one);
    expect(maxDifference(logits, { data: floats('prefill.logits').data.slice(0, 96), shape: [1, 1, 96] })).toBeLessThan(0.2);
  });
});

test.each(['gemma2', 'gemma3', 'phi4-mini', 'gpt2', 'gpt-neox', 'opt', 'mixtral'])('%s: float16 stays close', async (name) => {
  const { floats, ids } = await recorded(join(folderOf(name), 'expected.safetensors'));
  for (const attention of ['gqa', 'standard'] as const) {
    await using decoder = await cachedDecoder(await convert(name, { attention, dtype: 'float16' }));
    expect(maxDifference(await decoder.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(0.1);
    decoder.reset();
    expect(await greedy(decoder, ids('greedy.input_ids'), 12)).toEqual([...ids('greedy.ids').data].map(Number));
  }
});

test('older opsets make the same numbers', async () => {
  const { floats, ids } = await recorded(join(folderOf('gemma2'), 'expected.safetensors'));
  await using decoder = await cachedDecoder(await convert('gemma2', { attention: 'standard', opset: 18 }));
  expect(maxDifference(await decoder.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(1e-4);
});
