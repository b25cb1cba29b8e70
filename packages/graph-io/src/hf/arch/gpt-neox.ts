/** GPT-NeoX and Pythia: both parts of a layer side by side, heads rotated in part, query, key and value of a head together. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { causalDecoder, parallelLayer, residualLayer } from '../blocks/decoder.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { selfAttention } from '../blocks/self-attention.js';
import { decoderSizes, everyLayer } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

export const gptNeoX: Architecture = {
  modelType: 'gpt_neox',
  classes: { GPTNeoXForCausalLM: 'text-generation' },
  tied: { table: 'gpt_neox.embed_in.weight', head: 'embed_out.weight', byDefault: false },
  backbone: 'gpt_neox',
  ignoredWeights: [/\.attention\.(masked_)?bias$/, /\.rotary_emb\.inv_freq$/],
  clientConfig: (config) => ({ num_attention_heads: config.size('num_attention_heads'), hidden_size: config.size('hidden_size') }),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config) => {
  const { decoder, projections, attention, mlp, epsilon, parallel } = read(config);
  const norm = (name: string, x: Value): Value => layerNorm(net, name, x, { width: decoder.hidden, epsilon });
  const layer = parallel ? parallelLayer : residualLayer;
  causalDecoder(net, decoder, {
    names: { base: 'gpt_neox', embedding: 'embed_in', layers: 'layers', head: 'embed_out' },
    attention,
    layer: (x, attention) =>
      layer(net, x, {
        attention: (x) => selfAttention(net, 'attention', norm('input_layernorm', x), projections, attention),
        mlp: (x) => {
          const normed = norm('post_attention_layernorm', x);
          return net.module('mlp', () => plainMlp(net, normed, mlp));
        },
      }),
    norm: (x) => norm('final_layer_norm', x),
  });
};

function read(config: Fields) {
  const { decoder, heads, maxPositions } = decoderSizes(config, { maxPositions: 2048 });
  const rope = readRope(config, {
    dim: heads.headDim, maxPositions,
    theta: { field: 'rotary_emb_base', value: 10_000 },
    partial: { field: 'rotary_pct', value: 0.25 },
  });
  const bias = config.boolean('attention_bias', true);
  return {
    decoder,
    projections: {
      ...heads, bias, fused: { module: 'query_key_value', order: 'heads' }, output: { name: 'dense', bias },
    },
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    mlp: {
      hidden: heads.hidden, intermediate: config.size('intermediate_size'), activation: config.choice('hidden_act', activations, 'gelu'),
      bias: true, names: ['dense_h_to_4h', 'dense_4h_to_h'],
    },
    epsilon: config.positive('layer_norm_eps', 1e-5),
    parallel: config.boolean('use_parallel_residual', true),
  } as const;
}
