/** Granite 3 and 4 (dense): Llama with multipliers. */
import { attentionBias, type GgufArchitecture } from '../architecture.js';
import { llama } from './llama.js';

export const granite: GgufArchitecture = {
  ...llama, name: 'granite', modelType: 'granite', className: 'GraniteForCausalLM',
  config: (fields, common) => ({
    ...attentionBias(fields, common),
    mlp_bias: common.hasBias('ffn_gate'),
    attention_multiplier: fields.number('attention.scale') ?? common.head_dim ** -0.5,
    embedding_multiplier: fields.number('embedding_scale') ?? 1,
    residual_multiplier: fields.number('residual_scale') ?? 1,
    logits_scaling: fields.number('logit_scale') ?? 1,
  }),
  writing: {
    biases: llama.writing.biases!,
    pairs: (config) => [
      ['attention.scale', 'f32', config.positive('attention_multiplier', 1)],
      ['embedding_scale', 'f32', config.positive('embedding_multiplier', 1)],
      ['residual_scale', 'f32', config.positive('residual_multiplier', 1)],
      ['logit_scale', 'f32', config.positive('logits_scaling', 1)],
    ],
  },
};
