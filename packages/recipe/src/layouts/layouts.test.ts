import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runRecipe } from '../index.js';

const sapling = join(import.meta.dirname, '..', '..', '..', '..', 'models', 'sapling');
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-layouts-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test('plain puts the graphs beside their configuration, and takes more of them', async () => {
  const output = join(folder, 'plain');
  await runRecipe({ input: sapling, output, steps: [{ convert: { layout: 'plain' } }] }, { check: false });
  await runRecipe({ input: sapling, output, steps: [{ convert: { layout: 'plain' } }, { quantize: { bits: 4 } }] }, { check: false });
  const names = await readdir(output);
  expect(names).toEqual(expect.arrayContaining(['config.json', 'model.onnx', 'model_q4.onnx', 'tokenizer.json']));
  expect(names).not.toContain('onnx');
});

test('genai describes the cache of the graph that it runs', async () => {
  const output = join(folder, 'genai');
  await runRecipe({ input: sapling, output, steps: [{ convert: { layout: 'genai' } }] }, { check: false });
  const { model, search } = JSON.parse(await readFile(join(output, 'genai_config.json'), 'utf8')) as Record<string, Record<string, unknown>>;
  expect(model).toMatchObject({
    type: 'llama',
    vocab_size: 4096,
    context_length: 512,
    eos_token_id: 1,
    decoder: { filename: 'model.onnx', head_size: 32, num_hidden_layers: 4, num_key_value_heads: 4, num_attention_heads: 8 },
  });
  expect(search).toMatchObject({ past_present_share_buffer: false });
  expect(await readdir(output)).toEqual(expect.arrayContaining(['model.onnx', 'tokenizer.json']));
});
