/** Command R, R+, R7B and Aya: both parts of a layer side by side behind one layer norm, neighbouring columns rotated on both sides. */
import type { Fields } from '../../hf/fields.js';
import type { GgufArchitecture } from '../architecture.js';
import type { GgufFields } from '../fields.js';
import { cohereNames } from '../names.js';
import type { GgufPair } from '../write-pairs.js';
import { layerTypes, onlyPeriod } from '../windows.js';

const epsilon = (fields: GgufFields): number => fields.number('attention.layer_norm_epsilon') ?? 1e-5;
const logitScale = (config: Fields): GgufPair => ['logit_scale', 'f32', config.positive('logit_scale', 0.0625)];

/** llama.cpp knows by the number of layers whether queries and keys are normalized. */
const NORMALIZED_FROM = 64;

export const commandR: GgufArchitecture = {
  name: 'command-r', modelType: 'cohere', className: 'CohereForCausalLM', names: cohereNames, rotation: 'alike',
  config: (fields, { has }) => ({ hidden_act: 'silu', layer_norm_eps: epsilon(fields), logit_scale: fields.required('logit_scale'), use_qk_norm: has('attn_q_norm') }),
  writing: {
    tiedOnly: true, layerNorm: ['layer_norm_eps', 1e-5],
    pairs: (config, { layers }) => {
      const wanted = layers >= NORMALIZED_FROM;
      if (config.boolean('use_qk_norm', false) !== wanted) throw config.wrong('use_qk_norm', `${wanted}: llama.cpp normalizes queries and keys from ${NORMALIZED_FROM} layers on`);
      return [logitScale(config)];
    },
  },
};

const PERIOD = 4;

export const cohere2: GgufArchitecture = {
  name: 'cohere2', modelType: 'cohere2', className: 'Cohere2ForCausalLM', names: cohereNames, rotation: 'alike',
  config: (fields, common) => ({
    hidden_act: 'silu', layer_norm_eps: epsilon(fields), logit_scale: fields.required('logit_scale'),
    sliding_window: fields.required('attention.sliding_window'),
    ...layerTypes(fields, common.num_hidden_layers, PERIOD),
  }),
  writing: {
    tiedOnly: true, layerNorm: ['layer_norm_eps', 1e-5], windows: true,
    pairs: (config, { layers }) => {
      onlyPeriod(config, layers, PERIOD, 'Cohere 2', config.size('sliding_window_pattern', PERIOD));
      return [logitScale(config), ['attention.sliding_window', 'u32', config.size('sliding_window', 4096)]];
    },
  },
};
