/** The decoders of texts inside models that see or hear: the whole models, and recorded decoders as older releases stored such models. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { denseOf, memorySource } from '@penjing/core';
import { type AttentionForm, layoutToBytes, type ModelFolder, openHuggingFaceFolder, openSafetensors, safetensorsLayout } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { expect, test } from 'vitest';
import { maxDifference, recorded } from './support/hf-decoder.js';
import { openDecoder } from './support/hf-decoder-suite.js';

/** Names before transformers 4.52, and since. */
const old = (name: string): string => `language_model.${name}`;
const now = (name: string): string => (name.startsWith('model.') ? name.replace('model.', 'model.language_model.') : name);
const idefics = (name: string): string => (name.startsWith('model.') ? name.replace('model.', 'model.text_model.') : name);

async function wrapped(decoder: string, type: string, className: string, spell: (name: string) => string): Promise<ModelFolder> {
  const path = join(import.meta.dirname, 'fixtures', 'decoders', decoder);
  const { architectures: _, ...text } = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
  const config = { model_type: type, architectures: [className], text_config: text, vision_config: { hidden_size: 8 }, tie_word_embeddings: text['tie_word_embeddings'] };
  const { tensors } = await openSafetensors(memorySource(new Uint8Array(readFileSync(join(path, 'model.safetensors')))));
  const seeing = [['vision_tower.x.weight', denseOf('float32', [2], [1, 2])], ['model.multi_modal_projector.y.weight', denseOf('float32', [2], [1, 2])]] as const;
  const checkpoint = { tensors: new Map([...[...tensors].map(([name, tensor]) => [spell(name), tensor] as const), ...seeing]), metadata: new Map<string, string>() };
  const [file] = safetensorsLayout(checkpoint);
  const files: Readonly<Record<string, Uint8Array>> = {
    'config.json': new TextEncoder().encode(JSON.stringify(config)), 'model.safetensors': await layoutToBytes(file!), 'preprocessor_config.json': new TextEncoder().encode('{}'),
  };
  return { name: decoder, list: () => Promise.resolve(Object.keys(files)), open: (name) => Promise.resolve(memorySource(files[name]!)) };
}

test.each([
  ['gemma3', 'gemma3', 'Gemma3ForConditionalGeneration', old],
  ['gemma3', 'gemma3', 'Gemma3ForConditionalGeneration', now],
  ['mistral', 'mistral3', 'Mistral3ForConditionalGeneration', now],
  ['mistral', 'llava', 'LlavaForConditionalGeneration', old],
  ['qwen2', 'qwen2_vl', 'Qwen2VLForConditionalGeneration', now],
  ['qwen3', 'qwen3_vl', 'Qwen3VLForConditionalGeneration', now],
  ['mistral-full', 'llava', 'LlavaForConditionalGeneration', idefics],
] as const)('%s inside %s, %s', async (decoder, type, className, spell) => {
  const folder = await wrapped(decoder, type, className, spell);
  const { leftOut, config, architecture, files } = await openHuggingFaceFolder(folder);
  expect({ leftOut, architecture }).toEqual({ leftOut: 'pictures', architecture: expect.stringMatching(/ForCausalLM$/) as string });
  expect(config).not.toHaveProperty('vision_config');
  expect(files).not.toContain('preprocessor_config.json');
  const { floats, ids } = await recorded(join(import.meta.dirname, 'fixtures', 'decoders', decoder, 'expected.safetensors'));
  await using runs = await openDecoder(folder, {});
  expect(maxDifference(await runs.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(1e-4);
});

const attentionForms: readonly AttentionForm[] = ['gqa', 'standard'];
const whole = join(import.meta.dirname, 'fixtures', 'text-parts');
const { cases } = JSON.parse(readFileSync(join(whole, 'cases.json'), 'utf8')) as { readonly cases: readonly { readonly name: string; readonly class: string }[] };

test.each(cases.flatMap((row) => attentionForms.map((attention) => ({ ...row, attention }))))('the whole of $class reads the same text, $attention', async ({ name, attention }) => {
  const folder = join(whole, name);
  const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
  await using runs = await openDecoder(openFolder(folder), { attention });
  expect(maxDifference(await runs.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(1e-4);
  runs.reset();
  const [mask, positions] = [ids('batch.attention_mask'), ids('batch.position_ids')];
  expect(maxDifference(await runs.forward(ids('batch.input_ids'), { mask, positions }), floats('batch.logits'), mask)).toBeLessThan(1e-4);
});
