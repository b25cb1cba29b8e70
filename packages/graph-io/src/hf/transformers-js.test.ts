import { describe, expect, test } from 'vitest';
import { layoutToBytes } from '../onnx/layout-bytes.js';
import type { JsonObject } from './folder.js';
import { openHuggingFaceFolder } from './open.js';
import { memoryFolder, tinyConfig, tinyLlama } from './testing/tiny-llama.js';
import { transformersJsFiles, transformersJsPath, type TransformersJsVariant } from './transformers-js.js';

const spaced = `${JSON.stringify(tinyConfig, null, 4)}\n\n`;

async function files(variants: readonly TransformersJsVariant[], config: string | JsonObject = spaced): Promise<Map<string, string>> {
  const weights = await (await tinyLlama()).open('model.safetensors');
  const folder = memoryFolder({
    'config.json': config,
    'tokenizer.json': '{"a": 1 }',
    'README.md': 'no',
    'model.safetensors': await weights.read(0, weights.size),
  });
  const layouts = await transformersJsFiles(await openHuggingFaceFolder(folder), variants);
  const texts = layouts.map(async (file) => [file.name, new TextDecoder().decode(await layoutToBytes(file))] as const);
  return new Map(await Promise.all(texts));
}

describe('beside the graphs', () => {
  test('files are copied byte for byte', async () => {
    expect([...(await files([{ dtype: 'fp32' }, { dtype: 'q4' }]))]).toEqual([
      ['config.json', spaced],
      ['tokenizer.json', '{"a": 1 }'],
    ]);
  });

  test('config.json names no graphs that are not here, and no packing of weights that are in the graphs now', async () => {
    const given = { ...tinyConfig, quantization_config: { quant_method: 'gptq', bits: 4 }, 'transformers.js_config': { dtype: { model: 'q4' }, device_config: {} } };
    const config = JSON.parse((await files([{ dtype: 'fp32' }], given)).get('config.json')!) as JsonObject;
    expect(config).toEqual({ ...tinyConfig, 'transformers.js_config': { device_config: {} } });
  });

  test('config.json says which graphs have data files and half caches', async () => {
    const variants: TransformersJsVariant[] = [
      { dtype: 'fp32', externalFiles: 1 },
      { dtype: 'q8' },
      { dtype: 'q4f16', cacheDtype: 'float16' },
    ];
    const given = { use_external_data_format: true, dtype: 'q8' };
    const config = JSON.parse((await files(variants, { ...tinyConfig, 'transformers.js_config': given })).get('config.json')!) as JsonObject;
    expect(config).toEqual({
      ...tinyConfig,
      'transformers.js_config': {
        dtype: 'q8',
        use_external_data_format: { 'model.onnx': 1 },
        kv_cache_dtype: { q4f16: 'float16' },
      },
    });
  });

  test('graphs of several files are named one by one', async () => {
    const variants = (['encoder_model', 'decoder_model_merged'] as const).flatMap((stem): TransformersJsVariant[] => [
      { dtype: 'fp32', stem, externalFiles: 1 },
      { dtype: 'q4', stem },
    ]);
    expect(variants.map(({ stem, dtype }) => transformersJsPath(stem!, dtype))).toEqual([
      'onnx/encoder_model.onnx', 'onnx/encoder_model_q4.onnx', 'onnx/decoder_model_merged.onnx', 'onnx/decoder_model_merged_q4.onnx',
    ]);
    const config = JSON.parse((await files(variants)).get('config.json')!) as JsonObject;
    expect(config['transformers.js_config']).toEqual({
      use_external_data_format: { 'encoder_model.onnx': 1, 'decoder_model_merged.onnx': 1 },
    });
  });

  test('config.json gets the number of cached heads that the first Llamas left out', async () => {
    const { num_key_value_heads: _, ...old } = { ...tinyConfig };
    const config = JSON.parse((await files([{ dtype: 'fp32' }], old)).get('config.json')!) as JsonObject;
    expect(config['num_key_value_heads']).toBe(2);
  });
});
