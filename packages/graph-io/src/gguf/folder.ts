/** A GGUF model as the Hugging Face folder that it was made from: config, weights under their own names, tokenizer. */
import { isPenjingError, memorySource, PenjingError } from '@penjing/core';
import { type JsonObject, type ModelFolder, readJsonObject } from '../hf/folder.js';
import type { HuggingFaceFolder } from '../hf/open.js';
import { ggufTokenizer } from '../tokenizer/index.js';
import { findGgufArchitecture } from './architectures.js';
import { ggufConfig, ggufGenerationConfig } from './config.js';
import { GgufFields } from './fields.js';
import type { GgufFile } from './open.js';
import { fromGguf } from './weights.js';

/**
 * `name` is what messages call the model. Throws `E_ARCHITECTURE` for one that is not supported, `E_CONFIG` or `E_GGUF`
 * naming the key, `E_WEIGHTS` naming tensors that are not known, and what `ggufTokenizer` throws, unless the folder `beside` it has
 * the tokenizer.json of a vocabulary that cannot be read. Quantized weights stay in their blocks.
 */
export async function ggufToHuggingFace(file: GgufFile, name: string, beside?: ModelFolder): Promise<HuggingFaceFolder> {
  const fields = new GgufFields(file.metadata);
  const architecture = findGgufArchitecture(fields, file.checkpoint);
  const config = await ggufConfig(architecture, fields, file.checkpoint);
  const generationConfig = ggufGenerationConfig(fields);
  const files: Readonly<Record<string, JsonObject>> = { 'config.json': config, 'generation_config.json': generationConfig, ...(await tokenizerFiles(file, beside)) };
  return {
    folder: virtualFolder(name, files),
    files: Object.keys(files),
    config,
    generationConfig,
    architecture: architecture.className,
    modelType: architecture.modelType,
    dtype: 'float32',
    checkpoint: fromGguf(architecture, file.checkpoint, { heads: config['num_attention_heads'] as number, kvHeads: config['num_key_value_heads'] as number }),
  };
}

/** Files without a vocabulary have no tokenizer either. */
async function tokenizerFiles({ metadata }: GgufFile, beside: ModelFolder | undefined): Promise<Readonly<Record<string, JsonObject>>> {
  if (!metadata.has('tokenizer.ggml.tokens')) return {};
  try {
    const { tokenizerJson, tokenizerConfig } = ggufTokenizer(metadata);
    return { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': tokenizerConfig };
  } catch (error) {
    const there = isPenjingError(error) && error.code === 'E_TOKENIZER' ? ((await beside?.list()) ?? []) : [];
    if (!beside || !there.includes('tokenizer.json')) throw error;
    const names = ['tokenizer.json', 'tokenizer_config.json'].filter((name) => there.includes(name));
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readJsonObject(beside, name)] as const)));
  }
}

/** Files that exist in memory only. */
function virtualFolder(name: string, files: Readonly<Record<string, JsonObject>>): ModelFolder {
  const sources = new Map(
    Object.entries(files).map(([file, value]) => [file, memorySource(new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`))] as const),
  );
  return {
    name,
    list: () => Promise.resolve([...sources.keys()]),
    async open(file) {
      const source = sources.get(file);
      if (!source) throw new PenjingError('E_NOT_FOUND', `${name} has no ${file}`);
      return Promise.resolve(source);
    },
  };
}
