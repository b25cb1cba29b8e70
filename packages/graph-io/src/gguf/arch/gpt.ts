/** GPT-2, GPT-NeoX and the first StarCoder: layer norms, biases everywhere, queries, keys and values in one matrix. */
import type { GgufArchitecture } from '../architecture.js';
import { gpt2Names, gptNeoXNames } from '../names.js';

const everywhere = ['attn_norm', 'attn_qkv', 'attn_output', 'ffn_norm', 'ffn_up', 'ffn_down', 'output_norm'];
/** llama.cpp computes the approximation for all of them. */
const gelu = ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast', 'gelu'];

export const gpt2: GgufArchitecture = {
  name: 'gpt2', modelType: 'gpt2', className: 'GPT2LMHeadModel', names: gpt2Names, rotation: 'none',
  turned: ['attn_qkv', 'attn_output', 'ffn_up', 'ffn_down'],
  config: (fields) => ({
    activation_function: 'gelu_new',
    layer_norm_epsilon: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
    n_inner: fields.required('feed_forward_length'),
  }),
  writing: {
    biases: everywhere, activation: { field: 'activation_function', names: gelu }, layerNorm: ['layer_norm_epsilon', 1e-5],
    pairs: (config, { hidden }) => {
      config.only('scale_attn_by_inverse_layer_idx', false, 'llama.cpp scales all layers alike');
      config.only('scale_attn_weights', true, 'llama.cpp always scales scores');
      return [['feed_forward_length', 'u32', config.size('n_inner', 4 * hidden)]];
    },
  },
};

export const starcoder: GgufArchitecture = {
  name: 'starcoder', modelType: 'gpt_bigcode', className: 'GPTBigCodeForCausalLM', names: gpt2Names, rotation: 'none', fusedByGroup: true,
  config: (fields, { num_key_value_heads: kvHeads }) => ({
    activation_function: 'gelu_pytorch_tanh',
    layer_norm_epsilon: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
    n_inner: fields.required('feed_forward_length'),
    multi_query: kvHeads === 1,
  }),
  writing: {
    biases: everywhere, needed: everywhere, activation: { field: 'activation_function', names: gelu }, layerNorm: ['layer_norm_epsilon', 1e-5],
    kvHeads: (config, heads) => (config.boolean('multi_query', true) ? 1 : heads),
    pairs: (config, { hidden }) => {
      config.only('scale_attn_weights', true, 'llama.cpp always scales scores');
      return [['feed_forward_length', 'u32', config.size('n_inner', 4 * hidden)]];
    },
  },
};

export const gptNeoX: GgufArchitecture = {
  name: 'gptneox', modelType: 'gpt_neox', className: 'GPTNeoXForCausalLM', names: gptNeoXNames, rotation: 'alike', fusedByGroup: true,
  config: (fields, { head_dim, hasBias }) => ({
    hidden_act: 'gelu',
    rotary_pct: (fields.number('rope.dimension_count') ?? head_dim) / head_dim,
    rotary_emb_base: fields.number('rope.freq_base') ?? 10_000,
    layer_norm_eps: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
    use_parallel_residual: fields.flag('use_parallel_residual') ?? true,
    attention_bias: hasBias('attn_qkv'),
  }),
  writing: {
    biases: everywhere, needed: ['attn_qkv', 'attn_output'],
    partial: { field: 'rotary_pct', value: 0.25 }, activation: { field: 'hidden_act', names: gelu },
    layerNorm: ['layer_norm_eps', 1e-5],
    pairs: (config) => [['use_parallel_residual', 'bool', config.boolean('use_parallel_residual', true)]],
  },
};
