/** GGUF metadata as the config.json and generation_config.json of a Hugging Face model. */
import { type Checkpoint, PenjingError, toDense, typedView } from '@penjing/core';
import type { JsonObject } from '../hf/folder.js';
import type { CommonConfig, GgufArchitecture } from './architecture.js';
import { type GgufFields, shortest } from './fields.js';

/** Throws `E_CONFIG` naming a key that is missing or wrong. Reads the few numbers of rotary factors that lie in tensors. */
export async function ggufConfig(architecture: GgufArchitecture, fields: GgufFields, checkpoint: Checkpoint): Promise<JsonObject> {
  const { tensors } = checkpoint;
  const hidden = fields.required('embedding_length');
  const heads = fields.everyLayer('attention.head_count') ?? 0;
  const headDim = fields.number('attention.key_length') ?? hidden / heads;
  const valueDim = fields.number('attention.value_length') ?? headDim;
  if (valueDim !== headDim) {
    throw new PenjingError('E_CONFIG', `GGUF metadata: ${fields.key('attention.value_length')} ${valueDim} is not the width of keys, ${headDim}, which is not supported`);
  }
  const common: CommonConfig = {
    hidden_size: hidden,
    num_hidden_layers: fields.required('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: fields.everyLayer('attention.head_count_kv') ?? heads,
    head_dim: headDim,
    has: (stem) => tensors.has(`blk.0.${stem}.weight`),
    hasBias: (stem) => tensors.has(`blk.0.${stem}.bias`),
  };
  const { has: _, hasBias: __, ...sizes } = common;
  const epsilon = fields.number('attention.layer_norm_rms_epsilon');
  const intermediate = fields.everyLayer('feed_forward_length');
  return {
    architectures: [architecture.className],
    model_type: architecture.modelType,
    ...sizes,
    ...optional('intermediate_size', intermediate),
    vocab_size: tensors.get('token_embd.weight')?.shape[0] ?? fields.number('vocab_size'),
    max_position_embeddings: fields.required('context_length'),
    ...(epsilon !== undefined && { rms_norm_eps: epsilon }),
    ...(architecture.rotation !== 'none' && { rope_theta: fields.number('rope.freq_base') ?? 10_000, ...(await scaling(fields, checkpoint, headDim)) }),
    // Without a head of its own a model uses its embeddings.
    tie_word_embeddings: !tensors.has('output.weight'),
    ...specialTokens(fields),
    ...architecture.config?.(fields, common),
    dtype: 'float32',
  };
}

const SCALINGS: Readonly<Record<string, string>> = { linear: 'linear', yarn: 'yarn' };

async function scaling(fields: GgufFields, checkpoint: Checkpoint, headDim: number): Promise<JsonObject> {
  const context = fields.required('context_length');
  const original = fields.number('rope.scaling.original_context_length');
  const [near, far] = [await factors(checkpoint, 'rope_factors_short.weight'), await factors(checkpoint, 'rope_factors_long.weight')];
  if (near && far) {
    const attention = fields.number('rope.scaling.attn_factor');
    return {
      rope_scaling: { rope_type: 'longrope', short_factor: near, long_factor: far, ...(attention !== undefined && { attention_factor: attention }) },
      original_max_position_embeddings: original ?? context,
    };
  }
  // What Llama 3 makes of its own settings is only kept as divisors of every frequency: a longrope that is the same near and far.
  const divisors = await factors(checkpoint, 'rope_freqs.weight');
  if (divisors?.some((divisor) => divisor !== 1)) {
    if (divisors.length !== headDim / 2) throw new PenjingError('E_GGUF', `rope_freqs.weight has ${divisors.length} factors, heads of ${headDim} need ${headDim / 2}`);
    return { rope_scaling: { rope_type: 'longrope', short_factor: divisors, long_factor: divisors, attention_factor: 1, original_max_position_embeddings: context } };
  }
  const type = fields.text('rope.scaling.type') ?? 'none';
  if (type === 'none') return {};
  const rope = SCALINGS[type];
  if (rope === undefined) throw new PenjingError('E_CONFIG', `GGUF metadata: ${fields.key('rope.scaling.type')} ${JSON.stringify(type)} is not supported`);
  const factor = fields.required('rope.scaling.factor');
  const attention = fields.number('rope.scaling.attn_factor');
  return {
    rope_scaling: {
      rope_type: rope,
      factor,
      // beside what YaRN makes of its factor
      ...(rope === 'yarn' && attention !== undefined && { attention_factor: attention * yarnAttention(factor) }),
      ...(original !== undefined && { original_max_position_embeddings: original }),
      ...optional('beta_fast', fields.number('rope.scaling.yarn_beta_fast')),
      ...optional('beta_slow', fields.number('rope.scaling.yarn_beta_slow')),
    },
  };
}

/** What llama.cpp and transformers multiply attention by where nothing else is said. */
export function yarnAttention(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}

function optional(name: string, value: number | undefined): JsonObject {
  return value === undefined ? {} : { [name]: value };
}

async function factors({ tensors }: Checkpoint, name: string): Promise<readonly number[] | undefined> {
  const tensor = tensors.get(name);
  if (!tensor) return undefined;
  if (tensor.dtype !== 'float32' || tensor.byteLength > MAX_FACTOR_BYTES) throw new PenjingError('E_GGUF', `${name} is no short list of float32 factors`);
  return Array.from(typedView('float32', (await toDense(tensor)).bytes) as Float32Array, shortest);
}

/** A factor for each of 16,384 columns of a head. */
const MAX_FACTOR_BYTES = 2 ** 16;

const SPECIAL_TOKENS = { bos_token_id: 'bos_token_id', eos_token_id: 'eos_token_id', pad_token_id: 'padding_token_id' } as const;

function specialTokens({ metadata }: GgufFields): JsonObject {
  const ids = Object.entries(SPECIAL_TOKENS).map(([name, key]) => [name, metadata.get(`tokenizer.ggml.${key}`)] as const);
  return Object.fromEntries(ids.filter(([, id]) => typeof id === 'number'));
}

/** Ends at the end of a text and at the end of a turn, which are different tokens in chat models. */
export function ggufGenerationConfig(fields: GgufFields): JsonObject {
  const { eos_token_id: eos, ...others } = specialTokens(fields);
  const turn = fields.metadata.get('tokenizer.ggml.eot_token_id');
  const ends = [...new Set([eos, turn].filter((id): id is number => typeof id === 'number'))];
  return { ...others, ...(ends.length > 0 && { eos_token_id: ends.length === 1 ? ends[0] : ends }) };
}
