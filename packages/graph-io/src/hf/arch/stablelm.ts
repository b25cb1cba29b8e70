/** StableLM 3B, 2 1.6B and 2 12B: Llama with layer norms and heads rotated in part. */
import { decoder } from '../decoder/decoder.js';
import { flag } from '../settings.js';

const parallel = flag('use_parallel_residual', false);

export const stablelm = decoder({
  modelType: 'stablelm',
  family: 'StableLm',
  heads: ['classes', 'tokens'],
  usual: { kvHeads: 32, maxPositions: 4096 },
  norm: { kind: 'layer', epsilon: ['layer_norm_eps', 1e-5] },
  parallel,
  around: (config) => ({ attention: { before: 'input_layernorm' }, mlp: { before: parallel(config) ? 'input_layernorm' : 'post_attention_layernorm' } }),
  rope: { partial: { field: 'partial_rotary_factor', value: 0.25 } },
  attention: {
    bias: flag('use_qkv_bias', false),
    outputBias: false,
    queryKey: (config) => (config.boolean('qk_layernorm', false) ? { over: 'each', names: ['q_layernorm', 'k_layernorm'] } : undefined),
  },
});
