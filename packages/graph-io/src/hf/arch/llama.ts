/** Llama 1 to 3.3 and everything that is a Llama by another name. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { causalAttention, selfAttention } from '../blocks/attention.js';
import { causalDecoder, preNormLayer } from '../blocks/decoder.js';
import { gatedMlp } from '../blocks/mlp.js';
import { rmsNorm } from '../blocks/norm.js';
import { type Fields, MAX_HEAD_DIM, MAX_LAYERS } from '../fields.js';
import { readRope } from '../rope.js';

export const llama: Architecture = {
  modelType: 'llama',
  // the second is how the first published conversions spelled it
  classes: { LlamaForCausalLM: 'text-generation', LLaMAForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],

  clientConfig: (config) => ({ num_key_value_heads: config.size('num_attention_heads') }),

  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config) => {
  const { decoder, attention, mlp, rope, epsilon } = read(config);
  const norm = (name: string, x: Value): Value => rmsNorm(net, name, x, decoder.hidden, epsilon);
  causalDecoder(net, decoder, {
    attention: (inputs) => causalAttention(net, inputs, attention, rope),
    layer: (x, attend, past) =>
      preNormLayer(net, x, {
        attention: (x) => selfAttention(net, 'self_attn', norm('input_layernorm', x), { attend, past, shape: attention }),
        mlp: (x) => gatedMlp(net, 'mlp', norm('post_attention_layernorm', x), mlp),
      }),
    norm: (x) => norm('norm', x),
  });
};

/** The fields of LlamaConfig that matter here, with its defaults. */
function read(config: Fields) {
  const hidden = config.size('hidden_size');
  const heads = config.size('num_attention_heads');
  const kvHeads = config.size('num_key_value_heads', heads);
  const headDim = config.size('head_dim', Math.max(1, Math.floor(hidden / heads)), MAX_HEAD_DIM);
  if (heads % kvHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of num_attention_heads ${heads}`);
  if (!config.has('head_dim') && hidden % heads !== 0) throw config.wrong('hidden_size', `a multiple of num_attention_heads ${heads}`);
  const activation: ActivationName = config.choice('hidden_act', activations, 'silu');
  const layers = config.size('num_hidden_layers', undefined, MAX_LAYERS);
  return {
    decoder: { layers, kvHeads, headDim, hidden, vocabulary: config.size('vocab_size') },
    attention: { hidden, heads, kvHeads, headDim, scale: headDim ** -0.5, bias: config.boolean('attention_bias', false) },
    mlp: { hidden, intermediate: config.size('intermediate_size'), activation, bias: config.boolean('mlp_bias', false) },
    rope: readRope(config, { dim: headDim, maxPositions: config.size('max_position_embeddings', 2048) }),
    epsilon: config.positive('rms_norm_eps', 1e-6),
  };
}
