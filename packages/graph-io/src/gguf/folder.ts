/** A GGUF model as the Hugging Face folder that it was made from: config, weights under their own names, tokenizer. */
import { type Checkpoint, DenseTensor, lazy, memorySource, PenjingError, type Tensor } from '@penjing/core';
import type { JsonObject, ModelFolder } from '../hf/folder.js';
import type { HuggingFaceFolder } from '../hf/open.js';
import { ggufTokenizer } from '../tokenizer/index.js';
import { type GgufArchitecture, ggufArchitectures } from './architectures.js';
import { ggufConfig, ggufGenerationConfig } from './config.js';
import { GgufFields } from './fields.js';
import { quote } from './metadata.js';
import { checkpointName, ggufPlace } from './names.js';
import type { GgufFile } from './open.js';
import { fusedRows, rotaryRows } from './rows.js';

/**
 * `name` is what messages call the model. Throws `E_ARCHITECTURE` for one that is not supported, `E_CONFIG` or `E_GGUF`
 * naming the key, `E_WEIGHTS` naming tensors that are not known, and what `ggufTokenizer` throws. Quantized weights stay in their blocks.
 */
export async function ggufToHuggingFace(file: GgufFile, name: string): Promise<HuggingFaceFolder> {
  const fields = new GgufFields(file.metadata);
  const architecture = findGgufArchitecture(fields.architecture);
  const config = await ggufConfig(architecture, fields, file.checkpoint);
  const generationConfig = ggufGenerationConfig(fields);
  const files: Readonly<Record<string, JsonObject>> = { 'config.json': config, 'generation_config.json': generationConfig, ...tokenizerFiles(file) };
  return {
    folder: virtualFolder(name, files),
    files: Object.keys(files),
    config,
    generationConfig,
    architecture: architecture.className,
    modelType: architecture.modelType,
    dtype: 'float32',
    checkpoint: renamed(architecture, file.checkpoint, config),
  };
}

/** Files without a vocabulary have no tokenizer either. */
function tokenizerFiles({ metadata }: GgufFile): Readonly<Record<string, JsonObject>> {
  if (!metadata.has('tokenizer.ggml.tokens')) return {};
  const { tokenizerJson, tokenizerConfig } = ggufTokenizer(metadata);
  return { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': tokenizerConfig };
}

export function findGgufArchitecture(name: string): GgufArchitecture {
  const found = ggufArchitectures.find((architecture) => architecture.name === name);
  if (found) return found;
  const supported = ggufArchitectures.map((architecture) => architecture.name);
  throw new PenjingError('E_ARCHITECTURE', `GGUF models of the architecture ${quote(name)} are not supported`, {
    hint: `Supported: ${supported.join(', ')}.`,
    details: { architecture: name, supported },
  });
}

/** Read into the config, or precomputed for llama.cpp alone. */
const NOT_WEIGHTS: ReadonlySet<string> = new Set(['rope_freqs', 'rope_factors_long', 'rope_factors_short']);

function renamed(architecture: GgufArchitecture, { tensors, metadata }: Checkpoint, config: JsonObject): Checkpoint {
  const { names, rotation, normOffset, turned = [], fusedByHead } = architecture;
  const heads = { attn_q: config['num_attention_heads'] as number, attn_k: config['num_key_value_heads'] as number } as const;
  const out = new Map<string, Tensor>();
  const unknown: string[] = [];
  for (const [name, tensor] of tensors) {
    const place = ggufPlace(name);
    if (NOT_WEIGHTS.has(place.stem)) continue;
    const target = checkpointName(names, place);
    if (target === undefined) {
      unknown.push(name);
      continue;
    }
    let weight = tensor;
    if (rotation === 'pairs' && (place.stem === 'attn_q' || place.stem === 'attn_k')) weight = gatherRows(weight, rotaryRows(weight.shape[0] ?? 0, heads[place.stem], 'halves'));
    if (fusedByHead && place.stem === 'attn_qkv') weight = gatherRows(weight, fusedRows(weight.shape[0] ?? 0, heads.attn_q, 'heads'));
    if (normOffset !== undefined && place.stem.endsWith('_norm')) weight = lazy.add(weight, lazy.fill('float32', [], -normOffset));
    if (place.suffix === '.weight' && turned.includes(place.stem) && weight.shape.length === 2) weight = lazy.transpose(weight, [1, 0]);
    out.set(target, weight);
  }
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 5).join(', ') + (unknown.length > 5 ? ` and ${unknown.length - 5} more` : '');
    throw new PenjingError('E_WEIGHTS', `a ${architecture.name} model in a GGUF file has no place for ${shown}`, {
      hint: 'The file holds a variant of this architecture that is not supported.',
      details: { tensors: unknown },
    });
  }
  return { tensors: out, metadata };
}

/** Rows of a matrix, or elements of a bias, in another order. */
export function gatherRows(tensor: Tensor, rows: Int32Array): Tensor {
  return lazy.gather(tensor, DenseTensor.of('int32', [rows.length], rows));
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
