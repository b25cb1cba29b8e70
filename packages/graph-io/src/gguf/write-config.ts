/** config.json as the metadata of a GGUF file; what llama.cpp has no word for is refused by the name of the field. */
import { denseOf, PenjingError, type Tensor } from '@penjing/core';
import { Fields, MAX_HEAD_DIM, MAX_LAYERS } from '../hf/fields.js';
import { isObject, type JsonObject } from '../hf/folder.js';
import { readRope } from '../hf/rope.js';
import type { GgufArchitecture, WrittenSizes } from './architecture.js';
import { yarnAttention } from './config.js';
import type { GgufPair } from './write-pairs.js';

export interface WrittenConfig {
  readonly sizes: WrittenSizes;
  readonly pairs: readonly GgufPair[];
  /** Lists of factors that llama.cpp keeps as float32 tensors, by name. */
  readonly factors: readonly (readonly [name: string, tensor: Tensor])[];
}

/** Throws `E_CONFIG` naming the field that is missing, wrong, or means something that llama.cpp does not compute. */
export function writtenConfig(architecture: GgufArchitecture, config: Fields): WrittenConfig {
  const { name, rotation, writing } = architecture;
  const { field, names } = writing.activation ?? { field: config.has('hidden_act') ? 'hidden_act' : 'hidden_activation', names: ['silu'] };
  const activation = config.get(field) ?? names[0];
  if (typeof activation !== 'string' || !names.includes(activation)) throw config.wrong(field, `${names.join(' or ')}: llama.cpp knows no other ${name}`);
  const sizes = writtenSizes(architecture, config);
  const turned = rotation === 'none' ? { pairs: [], factors: [] } : rotary(architecture, config, sizes);
  const epsilon = writing.layerNorm
    ? pair('attention.layer_norm_epsilon', 'f32', config.positive(...writing.layerNorm))
    : pair('attention.layer_norm_rms_epsilon', 'f32', config.positive('rms_norm_eps', DEFAULT_EPSILON[name] ?? 1e-6));
  const all = new Map<string, GgufPair>();
  const common: readonly GgufPair[] = [
    pair('context_length', 'u32', contextOf(architecture, config, sizes)),
    pair('embedding_length', 'u32', sizes.hidden),
    pair('block_count', 'u32', sizes.layers),
    ...(config.has('intermediate_size') ? [pair('feed_forward_length', 'u32', config.size('intermediate_size'))] : []),
    pair('attention.head_count', 'u32', sizes.heads),
    pair('attention.head_count_kv', 'u32', sizes.kvHeads),
    pair('attention.key_length', 'u32', sizes.headDim),
    pair('attention.value_length', 'u32', sizes.headDim),
    epsilon,
    ...turned.pairs,
  ];
  // what an architecture says itself replaces what all say
  for (const each of [...common, ...(writing.pairs?.(config, sizes) ?? [])]) all.set(each[0], each);
  return { sizes, factors: turned.factors, pairs: [...all.values()].map(([key, ...rest]) => [`${name}.${key}`, ...rest] as unknown as GgufPair) };
}

/** Of configs that leave it out, as their classes have it; 1e-6 elsewhere. */
const DEFAULT_EPSILON: Readonly<Record<string, number>> = { phi3: 1e-5, olmo2: 1e-5 };

function pair(key: string, type: 'u32' | 'f32', value: number): GgufPair {
  return [key, type, value];
}

function writtenSizes({ writing }: GgufArchitecture, config: Fields): WrittenSizes {
  const size = (own: string, common: string, most?: number): number => config.size(config.has(own) ? own : common, undefined, most);
  const hidden = size('n_embd', 'hidden_size');
  const heads = size('n_head', 'num_attention_heads');
  return {
    hidden, heads,
    layers: size('n_layer', 'num_hidden_layers', MAX_LAYERS),
    kvHeads: writing.kvHeads?.(config, heads) ?? config.size('num_key_value_heads', heads),
    headDim: config.size('head_dim', Math.max(1, Math.floor(hidden / heads)), MAX_HEAD_DIM),
    positions: config.size(config.has('n_positions') ? 'n_positions' : 'max_position_embeddings', 2048),
  };
}

/** llama.cpp knows windows of a few architectures only; up to the width of a window a model is the same without it. */
function contextOf({ writing }: GgufArchitecture, config: Fields, { positions }: WrittenSizes): number {
  const none = writing.windows || config.get('use_sliding_window') === false || !config.has('sliding_window');
  return none ? positions : Math.min(positions, config.size('sliding_window'));
}

interface Rotary {
  readonly pairs: readonly GgufPair[];
  readonly factors: WrittenConfig['factors'];
}

function rotary({ writing: { partial, longrope } }: GgufArchitecture, config: Fields, { headDim, positions }: WrittenSizes): Rotary {
  const byKind = config.inside('rope_parameters')?.inside('full_attention');
  const scaling = config.inside('rope_scaling');
  const settings = byKind ?? (scaling && Object.keys(scaling.values).length > 0 ? scaling : undefined) ?? config.inside('rope_parameters') ?? new Fields({}, config.where);
  const theta = settings.get('rope_theta') ?? config.inside('rope_parameters')?.get('rope_theta') ?? config.get('rope_theta') ?? config.get('rotary_emb_base') ?? DEFAULT_THETA[String(config.get('model_type'))] ?? 10_000;
  if (typeof theta !== 'number') throw config.wrong('rope_theta', 'a number');
  const share = partial ? (settings.get('partial_rotary_factor') ?? config.get(partial.field) ?? partial.value) : 1;
  if (typeof share !== 'number' || share <= 0 || share > 1) throw config.wrong(partial?.field ?? 'partial_rotary_factor', 'a share of 1');
  const base = [pair('rope.dimension_count', 'u32', Math.floor(headDim * share)), pair('rope.freq_base', 'f32', theta)];
  const given = settings.get('rope_type') ?? settings.get('type') ?? 'default';
  if (typeof given !== 'string') throw settings.wrong('rope_type', 'a name');
  const type: string = given;
  const refuse = (why: string): PenjingError => new PenjingError('E_CONFIG', `${settings.where}: rotary scaling ${JSON.stringify(type)} ${why}`, { hint: 'Written: linear, yarn, llama3, and longrope of Phi-3.' });
  const factor = (): number => settings.positive('factor');
  switch (longrope && type !== 'default' ? 'longrope' : type) {
    case 'default':
      return { pairs: base, factors: [] };
    case 'linear':
      return { pairs: [...base, ['rope.scaling.type', 'string', 'linear'], pair('rope.scaling.factor', 'f32', factor())], factors: [] };
    case 'yarn': {
      settings.only('truncate', true, 'llama.cpp always rounds the edges');
      const rope = readRope(config, { dim: headDim, maxPositions: positions, settings });
      const beyond = rope.attentionFactor / yarnAttention(factor());
      const betas = (['beta_fast', 'beta_slow'] as const).flatMap((name) => (settings.has(name) ? [pair(`rope.scaling.yarn_${name}`, 'f32', settings.positive(name))] : []));
      const original = config.get('original_max_position_embeddings') ?? settings.get('original_max_position_embeddings') ?? positions;
      return {
        pairs: [
          ...base, ['rope.scaling.type', 'string', 'yarn'], pair('rope.scaling.factor', 'f32', factor()), pair('rope.scaling.original_context_length', 'u32', Number(original)), ...betas,
          ...(Math.abs(beyond - 1) > 1e-6 ? [pair('rope.scaling.attn_factor', 'f32', beyond)] : []),
        ],
        factors: [],
      };
    }
    case 'llama3':
      return { pairs: base, factors: [['rope_freqs.weight', divisors(config, theta, headDim, positions)]] };
    case 'longrope': {
      const [near, far] = ['short_factor', 'long_factor'].map((name) => settings.numbers(name, Math.floor(headDim * share) / 2)) as [readonly number[], readonly number[]];
      // how the divisors of Llama 3 come out of a GGUF file
      const same = near.every((value, i) => value === far[i]) && settings.get('attention_factor') === 1;
      if (same && !longrope) return { pairs: base, factors: [['rope_freqs.weight', floats(near)]] };
      if (!longrope) throw refuse('is written for Phi-3 only');
      const { attentionFactor } = readRope(new Fields(withoutPartial(config.values), config.where), {
        dim: Math.floor(headDim * share), maxPositions: positions, originalPositions: 4096, aliases: { su: 'longrope', yarn: 'longrope' },
      });
      return {
        pairs: [...base, pair('rope.scaling.attn_factor', 'f32', attentionFactor)],
        factors: [['rope_factors_long.weight', floats(far)], ['rope_factors_short.weight', floats(near)]],
      };
    }
    default:
      throw refuse('is not written as GGUF');
  }
}

/** Where it is not 10,000 though the config says nothing. */
const DEFAULT_THETA: Readonly<Record<string, number>> = { mixtral: 1e6, gemma3_text: 1e6, smollm3: 2e6, cohere: 5e5, olmo3: 5e5 };

/** The width is what is rotated already. */
function withoutPartial(values: JsonObject): JsonObject {
  const clean = (object: JsonObject): JsonObject => Object.fromEntries(Object.entries(object).filter(([key]) => key !== 'partial_rotary_factor'));
  return Object.fromEntries(Object.entries(clean(values)).map(([key, value]) => [key, isObject(value) ? clean(value) : value]));
}

/** What Llama 3 divides each frequency by, as llama.cpp keeps it. */
function divisors(config: Fields, theta: number, dim: number, maxPositions: number): Tensor {
  const shape = { dim, maxPositions };
  const { rope_scaling: _, rope_parameters: __, ...plain } = config.values;
  const base = readRope(new Fields({ ...plain, rope_theta: theta }, config.where), shape);
  const scaled = readRope(config, shape);
  return floats(base.inverseFrequencies.map((frequency, i) => frequency / scaled.inverseFrequencies[i]!));
}

function floats(values: readonly number[]): Tensor {
  return denseOf('float32', [values.length], values);
}
