/** Falcon 7B, 40B, 180B and 11B: few keys for many queries in one module, both parts of a layer side by side. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import type { LayerNorms } from '../decoder/row.js';
import type { Fields } from '../fields.js';
import { activation, flag } from '../settings.js';

const isNew = flag('new_decoder_architecture', false);
const parallel = (config: Fields): boolean => isNew(config) || config.boolean('parallel_attn', true);
const bias = flag('bias', false);

export const falcon = decoder({
  modelType: 'falcon',
  family: 'Falcon',
  heads: ['classes', 'tokens', 'questions'],
  fields: {
    hidden: ['hidden_size', 'n_embed'], heads: ['num_attention_heads', 'n_head'], layers: ['num_hidden_layers', 'n_layer'],
    kvHeads: null, headDim: null,
  },
  kvHeads: (config, heads) => (isNew(config) ? config.size('num_kv_heads', heads) : config.boolean('multi_query', true) ? 1 : heads),
  tied: true,
  names: { base: 'transformer', embedding: 'word_embeddings', layers: 'h', last: 'ln_f', attention: 'self_attention', tokens: 'classifier' },
  only: { alibi: [false, 'biases by distance are missing here'] },
  norm: { kind: 'layer', epsilon: ['layer_norm_epsilon', 1e-5] },
  parallel,
  around,
  attention: { bias, fused: { module: 'query_key_value', order: 'groups' }, output: 'dense' },
  feedForward: plain({
    names: ['dense_h_to_4h', 'dense_4h_to_h'], bias,
    activation: activation('activation', 'gelu'),
    intermediate: (config, hidden) => config.size('ffn_hidden_size', 4 * hidden),
  }),
});

function around(config: Fields): LayerNorms {
  if (isNew(config) && config.size('num_ln_in_parallel_attn', 2) === 2) return { attention: { before: 'ln_attn' }, mlp: { before: 'ln_mlp' } };
  return { attention: { before: 'input_layernorm' }, mlp: { before: parallel(config) ? 'input_layernorm' : 'post_attention_layernorm' } };
}
