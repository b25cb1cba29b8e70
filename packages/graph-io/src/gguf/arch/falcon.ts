/** Falcon 7B, 40B, 180B and 11B: few keys for many queries in one matrix, both parts of a layer side by side behind one norm or two. */
import type { Fields } from '../../hf/fields.js';
import type { GgufArchitecture } from '../architecture.js';
import { falconNames, falconTwoNormsNames } from '../names.js';

const isNew = (config: Fields): boolean => config.boolean('new_decoder_architecture', false);

export const falcon: GgufArchitecture = {
  name: 'falcon', modelType: 'falcon', className: 'FalconForCausalLM', names: falconNames, rotation: 'alike', fusedByGroup: true,
  config: (fields, { num_key_value_heads: kvHeads, has }) => {
    const twoNorms = has('attn_norm_2');
    return {
      activation: 'gelu', bias: false, alibi: false, parallel_attn: true,
      layer_norm_epsilon: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
      ffn_hidden_size: fields.required('feed_forward_length'),
      new_decoder_architecture: twoNorms || kvHeads > 1, num_ln_in_parallel_attn: twoNorms ? 2 : 1, multi_query: kvHeads === 1, num_kv_heads: kvHeads,
    };
  },
  writing: {
    biases: ['attn_norm', 'output_norm'], needed: ['attn_norm', 'output_norm'], layerNorm: ['layer_norm_epsilon', 1e-5],
    // llama.cpp computes the approximation of gelu
    activation: { field: 'activation', names: ['gelu', 'gelu_new', 'gelu_pytorch_tanh'] },
    kvHeads: (config, heads) => (isNew(config) ? config.size('num_kv_heads', heads) : config.boolean('multi_query', true) ? 1 : heads),
    pairs: (config, { hidden }) => {
      config.only('alibi', false, 'llama.cpp knows no Falcon with biases by distance');
      if (!isNew(config)) config.only('parallel_attn', true, 'llama.cpp knows no Falcon whose parts follow each other');
      return [['feed_forward_length', 'u32', config.size('ffn_hidden_size', 4 * hidden)]];
    },
  },
};

export const falconTwoNorms: GgufArchitecture = {
  ...falcon, names: falconTwoNormsNames,
  variant: {
    title: 'two norms', reads: (_, has) => has('attn_norm_2'),
    writes: (config) => isNew(config) && config.size('num_ln_in_parallel_attn', 2) === 2,
  },
  writing: { ...falcon.writing, biases: ['attn_norm', 'attn_norm_2', 'output_norm'], needed: ['attn_norm', 'attn_norm_2', 'output_norm'] },
};
