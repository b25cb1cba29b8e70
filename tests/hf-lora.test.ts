/** LoRA adapters merged into tiny decoders, against what PEFT computes with them. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DenseTensor, type PenjingError } from '@penjing/core';
import { convertHuggingFace, mergeLora, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { maxDifference, recorded } from './support/hf-decoder.js';
import { cachedDecoder } from './support/hf-decoder-suite.js';

const at = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

test.each([
  ['patterns', 'qwen2', 'rank_pattern, alpha_pattern'],
  ['stabilized', 'phi3', 'use_rslora, fused modules'],
  ['turned', 'gpt2', 'fan_in_fan_out'],
  ['table', 'mistral', 'lookup table, modules_to_save'],
])('%s on %s: %s', async (name, base) => {
  const adapter = at(`lora/${name}`);
  const folder = await mergeLora(await openHuggingFaceFolder(openFolder(at(`decoders/${base}`))), openFolder(adapter));
  const { floats, ids } = await recorded(join(adapter, 'expected.safetensors'));
  for (const attention of ['gqa', 'standard'] as const) {
    await using decoder = await cachedDecoder(await convertHuggingFace(folder, { attention }));
    expect(maxDifference(await decoder.forward(ids('input_ids')), floats('logits'))).toBeLessThan(1e-4);
  }
});

describe('what does not fit is named', () => {
  const fails = async (base: string, adapter: string): Promise<PenjingError> =>
    mergeLora(await openHuggingFaceFolder(openFolder(at(`decoders/${base}`))), openFolder(at(adapter))).then(
      () => expect.fail('it did not throw'),
      (error: PenjingError) => error,
    );

  test('an adapter of another architecture', async () => {
    const error = await fails('gpt2', 'lora/patterns');
    expect(error.code).toBe('E_WEIGHTS');
    expect(error.message).toMatch(/the adapter changes model\.layers\.0\.\w+\.\w+\.weight, which the model does not have/);
  });

  test('an adapter of another size', async () => {
    const error = await fails('gemma2', 'lora/patterns');
    expect(error.code).toBe('E_WEIGHTS');
    expect(error.message).toMatch(/the adapter has \[\d+, \d+\] for .*, the model \[\d+, \d+\]/);
  });

  test('a folder without an adapter', async () => {
    expect((await fails('gpt2', 'decoders/gpt2')).message).toMatch(/has no adapter_config\.json/);
  });
});

test('weights that no adapter touches stay on disk as they are', async () => {
  const base = await openHuggingFaceFolder(openFolder(at('decoders/mistral')));
  const merged = await mergeLora(base, openFolder(at('lora/table')));
  const name = 'model.layers.0.mlp.up_proj.weight';
  expect(merged.checkpoint.tensors.get(name)).toBe(base.checkpoint.tensors.get(name));
  expect(merged.checkpoint.tensors.get('model.layers.0.self_attn.v_proj.weight')).not.toBeInstanceOf(DenseTensor);
});
