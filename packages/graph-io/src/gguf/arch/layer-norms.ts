/** StarCoder2, StableLM and Phi-2: layer norms, heads rotated in whole or in part. */
import type { CommonConfig, GgufArchitecture } from '../architecture.js';
import type { GgufFields } from '../fields.js';
import { llamaNames, phi2Names, starcoder2Names } from '../names.js';

const norms = ['attn_norm', 'ffn_norm', 'output_norm'];
const queries = ['attn_q', 'attn_k', 'attn_v'];
const plain = [...queries, 'attn_output', 'ffn_up', 'ffn_down'];
/** llama.cpp computes the approximation for all of them. */
const gelu = ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast', 'gelu'];

const epsilon = (fields: GgufFields): number => fields.number('attention.layer_norm_epsilon') ?? 1e-5;
const rotated = (fields: GgufFields, { head_dim }: CommonConfig): number => (fields.number('rope.dimension_count') ?? head_dim) / head_dim;

export const starcoder2: GgufArchitecture = {
  name: 'starcoder2', modelType: 'starcoder2', className: 'Starcoder2ForCausalLM', names: starcoder2Names, rotation: 'alike',
  config: (fields, { hasBias }) => ({ hidden_act: 'gelu_pytorch_tanh', norm_epsilon: epsilon(fields), use_bias: hasBias('attn_q'), sliding_window: null }),
  writing: { biases: [...norms, ...plain], needed: plain, activation: { field: 'hidden_act', names: gelu }, layerNorm: ['norm_epsilon', 1e-5] },
};

export const stablelm: GgufArchitecture = {
  name: 'stablelm', modelType: 'stablelm', className: 'StableLmForCausalLM', names: llamaNames, rotation: 'alike',
  config: (fields, common) => ({
    hidden_act: 'silu',
    layer_norm_eps: epsilon(fields),
    partial_rotary_factor: rotated(fields, common),
    use_qkv_bias: common.hasBias('attn_q'),
    // llama.cpp goes by whether there is a second norm; the key is what its converter writes
    use_parallel_residual: fields.flag('use_parallel_residual') ?? false,
  }),
  writing: {
    biases: [...norms, ...queries], partial: { field: 'partial_rotary_factor', value: 0.25 }, layerNorm: ['layer_norm_eps', 1e-5],
    pairs: (config) => {
      config.only('qk_layernorm', false, 'norms of single heads are not written');
      return [['use_parallel_residual', 'bool', config.boolean('use_parallel_residual', false)]];
    },
  },
};

export const phi2: GgufArchitecture = {
  name: 'phi2', modelType: 'phi', className: 'PhiForCausalLM', names: phi2Names, rotation: 'alike',
  config: (fields, common) => ({ hidden_act: 'gelu_new', layer_norm_eps: epsilon(fields), partial_rotary_factor: rotated(fields, common) }),
  writing: {
    biases: ['attn_norm', 'output_norm', 'output', ...plain], needed: [...plain, 'output'],
    partial: { field: 'partial_rotary_factor', value: 0.5 }, activation: { field: 'hidden_act', names: gelu }, layerNorm: ['layer_norm_eps', 1e-5],
    pairs: (config) => {
      config.only('qk_layernorm', false, 'norms of single heads are not written');
      return [];
    },
  },
};
