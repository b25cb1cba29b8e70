import { expect, test } from 'vitest';
import { layoutToBytes } from '../onnx/layout-bytes.js';
import { companionFiles, configFile } from './companion-files.js';
import type { JsonObject } from './folder.js';
import { genaiFiles } from './genai.js';
import { openHuggingFaceConfig, openHuggingFaceFolder } from './open.js';
import { convertHuggingFace } from './convert.js';
import { memoryFolder, tinyLlama, tinyConfig } from './testing/tiny-llama.js';
import { transformersJsFiles } from './transformers-js.js';

const config: JsonObject = { model_type: 'whisper', architectures: ['WhisperForConditionalGeneration'] };

async function written(files: Readonly<Record<string, JsonObject | string>>): Promise<ReadonlyMap<string, string>> {
  const layouts = await companionFiles(await openHuggingFaceConfig(memoryFolder({ 'config.json': config, ...files })));
  const texts = await Promise.all(layouts.map(async (layout) => [layout.name, new TextDecoder().decode(await layoutToBytes(layout))] as const));
  expect(new Set(layouts.map(({ name }) => name)).size).toBe(layouts.length);
  return new Map(texts);
}

test('everything that a client reads beside the graphs goes along as it is', async () => {
  const needed = {
    'generation_config.json': '{"forced_decoder_ids": [[1, 2]]}', 'tokenizer.json': '{"model": {}}', 'tokenizer_config.json': '{ "eos_token": "x" }',
    'special_tokens_map.json': '{}', 'added_tokens.json': '{}', 'vocab.json': '{"a": 0}', 'merges.txt': 'a b', 'normalizer.json': '{}',
    'preprocessor_config.json': '{"feature_size": 80}', 'chat_template.jinja': '{{ x }}', 'LICENSE': 'MIT',
  };
  const files = await written({ ...needed, 'training_args.bin': 'secret', 'optimizer.pt': 'large' });
  expect(Object.fromEntries(files)).toEqual(needed);
});

test('what transformers 5 keeps in one file is written where transformers.js looks for it', async () => {
  const processor = { processor_class: 'WhisperProcessor', feature_extractor: { feature_extractor_type: 'WhisperFeatureExtractor', feature_size: 80 } };
  const files = await written({ 'processor_config.json': processor });
  expect(JSON.parse(files.get('preprocessor_config.json')!)).toEqual({ feature_extractor_type: 'WhisperFeatureExtractor', feature_size: 80, processor_class: 'WhisperProcessor' });
  expect([...(await written({ 'processor_config.json': { processor_class: 'X' } })).keys()]).toEqual(['processor_config.json']);
});

test.each(['gptq', 'awq'])('weights packed by %s are in the graphs, so that no layout says where they were', async (method) => {
  const packed = { ...tinyConfig, quantization_config: { quant_method: method, bits: 4, group_size: 32 } };
  const folder = await openHuggingFaceFolder(await tinyLlama());
  const said = { ...folder, config: packed };
  const { graph } = await convertHuggingFace(folder);
  const layouts = [await configFile(said), ...(await transformersJsFiles(said, [{ dtype: 'fp32' }])), ...(await genaiFiles(said, graph))].filter(({ name }) => name === 'config.json');
  expect(layouts).toHaveLength(3);
  for (const layout of layouts) {
    const text = JSON.parse(new TextDecoder().decode(await layoutToBytes(layout))) as JsonObject;
    expect(text).not.toHaveProperty('quantization_config');
    expect(text).toMatchObject({ model_type: 'llama', hidden_size: 16 });
  }
});

test('the modules of a sentence embedder go along, where the network lies now', async () => {
  const modules = [{ idx: 0, path: '0_Transformer', type: 'sentence_transformers.models.Transformer' }, { idx: 1, path: '1_Pooling', type: 'sentence_transformers.models.Pooling' }];
  const root = memoryFolder({
    'modules.json': JSON.stringify(modules), 'config_sentence_transformers.json': '{}', '1_Pooling/config.json': '{"pooling_mode_cls_token": true}',
    '0_Transformer/config.json': JSON.stringify({ model_type: 'bert' }), '0_Transformer/sentence_bert_config.json': '{"max_seq_length": 5}', '0_Transformer/vocab.txt': 'a',
  });
  const files = await companionFiles(await openHuggingFaceConfig(root));
  expect(files.map(({ name }) => name).sort()).toEqual(['1_Pooling/config.json', 'config_sentence_transformers.json', 'modules.json', 'sentence_bert_config.json', 'vocab.txt']);
  const listed = JSON.parse(new TextDecoder().decode(await layoutToBytes(files.find(({ name }) => name === 'modules.json')!))) as JsonObject[];
  expect(listed.map(({ path }) => path)).toEqual(['', '1_Pooling']);
});
