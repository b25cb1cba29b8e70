/** GPT-NeoX and Pythia: both parts of a layer side by side, heads rotated in part, query, key and value of a head together. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import { activation, flag } from '../settings.js';

export const gptNeoX = decoder({
  modelType: 'gpt_neox',
  family: 'GPTNeoX',
  heads: ['classes', 'tokens', 'questions'],
  fields: { kvHeads: null },
  names: { base: 'gpt_neox', embedding: 'embed_in', last: 'final_layer_norm', attention: 'attention', head: 'embed_out', tokens: 'classifier' },
  ignored: [/\.attention\.(masked_)?bias$/], // causal masks that were buffers once
  norm: { kind: 'layer', epsilon: ['layer_norm_eps', 1e-5] },
  parallel: flag('use_parallel_residual', true),
  rope: { theta: { field: 'rotary_emb_base', value: 10_000 }, partial: { field: 'rotary_pct', value: 0.25 } },
  attention: { bias: flag('attention_bias', true), fused: { module: 'query_key_value', order: 'groups' }, output: 'dense' },
  feedForward: plain({ names: ['dense_h_to_4h', 'dense_4h_to_h'], activation: activation('hidden_act', 'gelu') }),
});
