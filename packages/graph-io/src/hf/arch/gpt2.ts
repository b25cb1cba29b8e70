/** GPT-2: learned positions, layer norms, weights stored as (inputs, outputs), queries, keys and values in one module. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { causalDecoder, residualLayer } from '../blocks/decoder.js';
import { embedding } from '../blocks/embedding.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { selfAttention } from '../blocks/self-attention.js';
import { type Fields, MAX_LAYERS } from '../fields.js';

export const gpt2: Architecture = {
  modelType: 'gpt2',
  classes: { GPT2LMHeadModel: 'text-generation' },
  tied: { table: 'transformer.wte.weight', head: 'lm_head.weight', byDefault: true },
  backbone: 'transformer',
  // causal masks that were buffers once
  ignoredWeights: [/\.attn\.(masked_)?bias$/],
  clientConfig: (config) => {
    const { sizes: { heads, layers, hidden } } = read(config);
    return { n_head: heads, n_layer: layers, n_embd: hidden };
  },
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config) => {
  const { sizes, attention, mlp, epsilon, maxPositions, vocabulary } = read(config);
  const { hidden, heads, headDim, layers } = sizes;
  const norm = (name: string, x: Value): Value => layerNorm(net, name, x, { width: hidden, epsilon });
  const projections = {
    hidden, heads, kvHeads: heads, headDim, bias: true,
    fused: { module: 'c_attn', order: 'blocks', turned: true },
    output: { name: 'c_proj', bias: true, stored: { module: 'c_proj', turned: true } },
  } as const;
  causalDecoder(net, { layers, kvHeads: heads, headDim, hidden, vocabulary }, {
    names: { base: 'transformer', embedding: 'wte', layers: 'h', head: 'lm_head' },
    attention,
    embed: (tokens, positions) =>
      net.op('Add', [tokens, embedding(net, 'wpe', positions, { vocabulary: maxPositions, hidden }).hidden]),
    layer: (x, attention) =>
      residualLayer(net, x, {
        attention: (x) => selfAttention(net, 'attn', norm('ln_1', x), projections, attention),
        mlp: (x) => {
          const normed = norm('ln_2', x);
          return net.module('mlp', () => plainMlp(net, normed, mlp));
        },
      }),
    norm: (x) => norm('ln_f', x),
  });
};

/** A config of GPT-2 may use its own names or the common ones. */
function read(config: Fields) {
  const size = (own: string, common: string, fallback: number, most?: number): number =>
    config.has(own) ? config.size(own, undefined, most) : config.size(common, fallback, most);
  config.only('add_cross_attention', false, 'a decoder of its own has no encoder to look at');
  const hidden = size('n_embd', 'hidden_size', 768);
  const heads = size('n_head', 'num_attention_heads', 12);
  const layers = size('n_layer', 'num_hidden_layers', 12, MAX_LAYERS);
  if (hidden % heads !== 0) throw config.wrong(config.has('n_embd') ? 'n_embd' : 'hidden_size', `a multiple of its ${heads} heads`);
  const headDim = hidden / heads;
  const plain = config.boolean('scale_attn_weights', true) ? headDim ** -0.5 : 1;
  const byLayer = config.boolean('scale_attn_by_inverse_layer_idx', false);
  const shape = { heads, kvHeads: heads, headDim };
  const same = { ...shape, scale: plain };
  return {
    sizes: { hidden, heads, headDim, layers },
    attention: Array.from({ length: layers }, (_, i) => (byLayer ? { ...shape, scale: plain / (i + 1) } : same)),
    mlp: {
      hidden, intermediate: config.size('n_inner', 4 * hidden), activation: config.choice('activation_function', activations, 'gelu_new'),
      bias: true, names: ['c_fc', 'c_proj'], turned: true,
    },
    epsilon: config.positive('layer_norm_epsilon', 1e-5),
    maxPositions: size('n_positions', 'max_position_embeddings', 1024),
    vocabulary: config.size('vocab_size', 50_257),
  } as const;
}
