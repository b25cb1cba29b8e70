/** Phi-1, 1.5 and 2: both parts of a layer side by side behind one layer norm, biases everywhere, heads rotated in part. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import { activation } from '../settings.js';

export const phi = decoder({
  modelType: 'phi',
  family: 'Phi',
  heads: ['classes', 'tokens'],
  names: { last: 'final_layernorm' },
  norm: { kind: 'layer', epsilon: ['layer_norm_eps', 1e-5] },
  around: { attention: { before: 'input_layernorm' }, mlp: { before: 'input_layernorm' } },
  parallel: true,
  rope: { partial: { field: 'partial_rotary_factor', value: 0.5 } },
  attention: {
    bias: true,
    output: 'dense',
    queryKey: (config) => (config.boolean('qk_layernorm', false) ? { over: 'heads', names: ['q_layernorm', 'k_layernorm'] } : undefined),
  },
  feedForward: plain({ names: ['fc1', 'fc2'], activation: activation('hidden_act', 'gelu_new') }),
  logits: { bias: true },
});
