/** Qwen2-MoE and Qwen3-MoE: mixtures of many small experts, in some layers or in all. */
import type { Value } from '@penjing/core';
import type { Architecture } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import type { AttentionShape } from '../blocks/attention.js';
import { type ExpertsShape, mixtureOfExperts } from '../blocks/experts.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import {
  type DecoderDefaults, decoderSizes, everyLayer, expertsPerToken, gatedMlpFields, groupedClientConfig, plainProjections, slidingLayers,
} from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { readRope } from '../rope.js';

const defaults2: DecoderDefaults = { kvHeads: 16, maxPositions: 32_768 };
const defaults3: DecoderDefaults = { kvHeads: 4, maxPositions: 32_768 };
const tied = { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false };

export const qwen2Moe: Architecture = {
  modelType: 'qwen2_moe',
  classes: { Qwen2MoeForCausalLM: 'text-generation' },
  tied,
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: groupedClientConfig(defaults2),
  graphs: () => ({ model: rmsDecoder(read2) }),
};

export const qwen3Moe: Architecture = {
  modelType: 'qwen3_moe',
  classes: { Qwen3MoeForCausalLM: 'text-generation' },
  tied,
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults3),
  graphs: () => ({ model: rmsDecoder(read3) }),
};

function read2(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults2);
  const { decoder: { layers }, heads } = sizes;
  const full: AttentionShape = { ...heads, scale: heads.headDim ** -0.5, rope: readRope(config, { dim: heads.headDim, maxPositions: sizes.maxPositions }) };
  const until = config.number('max_window_layers', 28);
  const windows = config.boolean('use_sliding_window', false);
  // Qwen2MoeConfig gives windows to every second of the first layers
  const near = windows ? slidingLayers(config, layers, (index) => index % 2 === 0 && index < until) : [];
  const sliding = windows ? { ...full, window: config.size('sliding_window', 4096) } : full;
  const bias = config.boolean('qkv_bias', true);
  return {
    decoder: sizes.decoder,
    attention: Array.from({ length: layers }, (_, i) => (near[i] ? sliding : full)),
    projections: plainProjections(sizes, { inputs: bias, output: false }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm },
    feedForward: sparseLayers(config, layers, {
      ...mixture(config, heads.hidden, { experts: 60, perToken: 4, intermediate: 1408 }),
      shared: { ...gatedMlpFields(config, heads.hidden), intermediate: config.size('shared_expert_intermediate_size', 5632) },
    }),
  };
}

function read3(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults3);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const window = config.boolean('use_sliding_window', false)
    ? config.nullable('sliding_window', (name) => config.size(name), 4096)
    : undefined;
  const bias = config.boolean('attention_bias', false);
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope, ...(window && { window }) }),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm, queryKey: 'heads' },
    feedForward: sparseLayers(config, decoder.layers, mixture(config, heads.hidden, { experts: 128, perToken: 8, intermediate: 768 })),
  };
}

function mixture(
  config: Fields, hidden: number, usual: { readonly experts: number; readonly perToken: number; readonly intermediate: number },
): ExpertsShape {
  return {
    // transformers 5 renamed the field
    ...expertsPerToken(config, config.has('num_experts') ? 'num_experts' : 'num_local_experts', usual),
    normalized: config.boolean('norm_topk_prob', false),
    expert: {
      hidden, intermediate: config.size('moe_intermediate_size', usual.intermediate), bias: false,
      activation: config.choice('hidden_act', activations, 'silu'),
    },
  };
}

/** Experts in every `decoder_sparse_step`th layer but those in `mlp_only_layers`; plain layers elsewhere. */
function sparseLayers(config: Fields, layers: number, experts: ExpertsShape): RmsDecoder['feedForward'] {
  const step = config.size('decoder_sparse_step', 1);
  const plain = config.get('mlp_only_layers') ?? [];
  if (!Array.isArray(plain) || !plain.every((item) => Number.isInteger(item) && item >= 0 && item < layers)) {
    throw config.wrong('mlp_only_layers', `a list of layers below ${layers}`);
  }
  const dense = new Set<unknown>(plain);
  const isDense = (index: number): boolean => dense.has(index) || (index + 1) % step !== 0;
  const mlp = Array.from({ length: layers }, (_, i) => i).some(isDense) ? gatedMlpFields(config, experts.expert.hidden) : undefined;
  return (net: Network, x: Value, index: number) =>
    mlp && isDense(index) ? gatedMlp(net, 'mlp', x, mlp) : mixtureOfExperts(net, 'mlp', x, experts);
}
