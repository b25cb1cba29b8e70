/** Checkpoints packed by GPTQ and AWQ against what PyTorch computed with the same weights as floats. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { allNodes, memorySource, type Model, type PenjingError } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, type ModelFolder, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { maxDifference, recorded } from './support/hf-decoder.js';
import { cachedDecoder, decoderCases, decoderSuite } from './support/hf-decoder-suite.js';

// gqa keeps the blocks, standard makes them floats
decoderSuite('packed', decoderCases('packed'), ['gqa', 'standard']);

const folderOf = (name: string): string => fileURLToPath(new URL(`./fixtures/packed/${name}`, import.meta.url));
const convert = async (name: string, options: ConvertHuggingFaceOptions = {}): Promise<Model> =>
  convertHuggingFace(await openHuggingFaceFolder(openFolder(folderOf(name))), options);
const operators = (model: Model, type: string): number => [...allNodes(model.graph)].filter(({ opType }) => opType === type).length;

test.each([
  ['gptq', 14, 1],
  ['gptq-8-act-order', 28, 1],
  ['awq', 13, 2],
  ['awq-fused', 14, 1],
])('%s keeps its blocks: %i products with them, %i with floats', async (name, packed, plain) => {
  const model = await convert(name);
  expect(operators(model, 'MatMulNBits')).toBe(packed);
  expect([...allNodes(model.graph)].filter(({ opType, inputs }) => opType === 'MatMul' && inputs[1]?.tensor)).toHaveLength(plain);
});

test('activations are gathered once per input that layers share', async () => {
  const gathers = (model: Model): number => [...allNodes(model.graph)].filter(({ opType, inputs }) => opType === 'Gather' && inputs[1]?.name.endsWith('.order')).length;
  // per layer: into q, k, v; into o; into gate and up; into down
  expect(gathers(await convert('gptq-act-order'))).toBe(2 * 4);
  expect(gathers(await convert('gptq'))).toBe(0);
});

test.each(['gptq', 'gptq-act-order', 'gptq-v2', 'awq'])('%s: activations in int8 stay close', async (name) => {
  const { floats, ids } = await recorded(join(folderOf(name), 'expected.safetensors'));
  await using decoder = await cachedDecoder(await convert(name, { blocks: 'int8' }));
  expect(maxDifference(await decoder.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(0.4);
});

describe('what does not fit is named', () => {
  const fails = async (name: string, change: Readonly<Record<string, unknown>>): Promise<PenjingError> => {
    const folder = openFolder(folderOf(name));
    const { config } = await openHuggingFaceFolder(folder);
    const quantization = { ...(config['quantization_config'] as object), ...change };
    const text = new TextEncoder().encode(JSON.stringify({ ...config, quantization_config: quantization }));
    const changed: ModelFolder = { ...folder, open: async (file) => (file === 'config.json' ? memorySource(text, 'memory:config') : folder.open(file)) };
    return convertHuggingFace(await openHuggingFaceFolder(changed)).then(() => expect.fail('it did not throw'), (error: PenjingError) => error);
  };

  test.each<[string, string, Readonly<Record<string, unknown>>, string, RegExp]>([
    ['another method', 'gptq', { quant_method: 'hqq' }, 'E_CONFIG', /quantization_config: quant_method "hqq" is not supported/],
    ['bits', 'gptq', { bits: 3 }, 'E_CONFIG', /bits is 3, it must be 4 or 8/],
    ['format', 'gptq', { checkpoint_format: 'marlin' }, 'E_CONFIG', /checkpoint_format is "marlin"/],
    ['version', 'awq', { version: 'gemv' }, 'E_CONFIG', /version is "gemv"/],
    ['groups', 'gptq', { group_size: 40 }, 'E_WEIGHTS', /inputs are no groups of 40/],
    ['another group size', 'gptq', { group_size: 16 }, 'E_WEIGHTS', /qzeros is int32 \[2, 8\], it must be int32 \[4, 8\]|g_idx does not give/],
    ['other bits', 'gptq', { bits: 8 }, 'E_WEIGHTS', /48 inputs are no groups of 32/],
    ['the other method', 'awq', { quant_method: 'gptq' }, 'E_WEIGHTS', /it must be|inputs and|no groups/],
  ])('%s', async (_, name, change, code, message) => {
    const error = await fails(name, change);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});
