/** Every architecture in GGUF terms and back: tensors as llama.cpp keeps them (names as in gguf-py's map), metadata from the config. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lazy, type Tensor } from '@penjing/core';
import { convertHuggingFace, ggufToHuggingFace, type GgufValue, type HuggingFaceFolder, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { ortEngine } from '@penjing/runtime';
import { expect, test } from 'vitest';
import { ggufArchitectures } from '../packages/graph-io/src/gguf/architectures.js';
import { gatherRows } from '../packages/graph-io/src/gguf/folder.js';
import { ggufName, ggufPlaceOf } from '../packages/graph-io/src/gguf/names.js';
import { fusedRows } from '../packages/graph-io/src/gguf/rows.js';
import { CachedDecoder, type Floats, type Ids, maxDifference } from './support/hf-decoder.js';

const fixtures = fileURLToPath(new URL('./fixtures/decoders', import.meta.url));
const prompt: Ids = { data: BigInt64Array.from({ length: 24 }, (_, i) => BigInt((i * 7 + 3) % 30)), shape: [1, 24] };

async function logits(folder: HuggingFaceFolder): Promise<Floats> {
  await using decoder = new CachedDecoder(await ortEngine({ threads: 1 }).load(await convertHuggingFace(folder)));
  return await decoder.forward(prompt);
}

/** Fields of config.json by their key in GGUF files; several names for one, because configs differ. */
const keys: Readonly<Record<string, readonly string[]>> = {
  context_length: ['max_position_embeddings', 'n_positions'], embedding_length: ['hidden_size', 'n_embd'], block_count: ['num_hidden_layers', 'n_layer'],
  feed_forward_length: ['intermediate_size', 'n_inner'], 'attention.head_count': ['num_attention_heads', 'n_head'], 'attention.head_count_kv': ['num_key_value_heads'],
  'attention.key_length': ['head_dim'], 'attention.layer_norm_rms_epsilon': ['rms_norm_eps'], 'attention.layer_norm_epsilon': ['layer_norm_epsilon', 'layer_norm_eps'],
  'rope.freq_base': ['rope_theta', 'rotary_emb_base'], 'rope.freq_base_swa': ['rope_local_base_freq'], 'attention.sliding_window': ['sliding_window'],
  attn_logit_softcapping: ['attn_logit_softcapping'], final_logit_softcapping: ['final_logit_softcapping'], use_parallel_residual: ['use_parallel_residual'],
};

function metadataOf(name: string, config: Readonly<Record<string, unknown>>): Map<string, GgufValue> {
  const rope = (config['rope_parameters'] ?? {}) as Readonly<Record<string, unknown>>;
  const byKind = (kind: string): unknown => (rope[kind] as Readonly<Record<string, unknown>> | undefined)?.['rope_theta'];
  const all: Readonly<Record<string, unknown>> = {
    rope_theta: rope['rope_theta'] ?? byKind('full_attention'), rope_local_base_freq: byKind('sliding_attention'), ...config,
    ...(config['n_embd'] !== undefined && { n_inner: config['n_inner'] ?? 4 * (config['n_embd'] as number) }),
  };
  const metadata = new Map<string, GgufValue>([['general.architecture', name]]);
  for (const [key, fields] of Object.entries(keys)) {
    const value = fields.map((field) => all[field]).find((item) => item !== undefined && item !== null);
    if (value !== undefined) metadata.set(`${name}.${key}`, value as GgufValue);
  }
  const share = (all['rotary_pct'] ?? rope['partial_rotary_factor']) as number | undefined;
  const width = (all['head_dim'] as number | undefined) ?? (metadata.get(`${name}.embedding_length`) as number) / (metadata.get(`${name}.attention.head_count`) as number);
  if (share !== undefined) metadata.set(`${name}.rope.dimension_count`, share * width);
  return metadata;
}

const cases = [['gemma', 'gemma'], ['olmo2', 'olmo2'], ['gpt2', 'gpt2'], ['gpt-neox', 'gptneox'], ['qwen2', 'qwen2'], ['qwen3', 'qwen3'], ['phi3', 'phi3']] as const;

test.each(cases.filter(([fixture]) => existsSync(join(fixtures, fixture))))('%s', async (fixture, name) => {
  const folder = await openHuggingFaceFolder(openFolder(join(fixtures, fixture)));
  const architecture = ggufArchitectures.find((item) => item.name === name)!;
  const metadata = metadataOf(name, folder.config);
  const heads = metadata.get(`${name}.attention.head_count`) as number;
  const tensors = new Map<string, Tensor>();
  for (const [own, tensor] of folder.checkpoint.tensors) {
    const place = ggufPlaceOf(architecture.names, own)!;
    let weight = lazy.cast(tensor, 'float32');
    if (architecture.normOffset && place.stem.endsWith('_norm')) weight = lazy.add(weight, lazy.fill('float32', [], 1));
    if (architecture.turned?.includes(place.stem) && place.suffix === '.weight') weight = lazy.transpose(weight, [1, 0]);
    if (architecture.fusedByHead && place.stem === 'attn_qkv') weight = gatherRows(weight, fusedRows(weight.shape[0]!, heads, 'kinds'));
    tensors.set(ggufName(place), weight);
  }
  const file = { metadata, tensors: new Map(), checkpoint: { tensors, metadata: new Map<string, string>() } };
  expect(maxDifference(await logits(await ggufToHuggingFace(file, fixture)), await logits(folder))).toBeLessThan(1e-5);
});
