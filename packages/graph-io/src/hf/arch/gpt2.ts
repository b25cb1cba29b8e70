/** GPT-2: learned positions, layer norms, weights stored as (inputs, outputs), queries, keys and values in one module. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import type { DecoderRow } from '../decoder/row.js';
import { activation } from '../settings.js';

export const gpt2Row = {
  modelType: 'gpt2',
  family: 'GPT2',
  heads: ['classes', 'tokens', 'questions'],
  classNames: { writes: 'GPT2LMHeadModel' },
  // configs may use its own names or the common ones
  fields: {
    hidden: ['n_embd', 'hidden_size'], heads: ['n_head', 'num_attention_heads'], layers: ['n_layer', 'num_hidden_layers'],
    maxPositions: ['n_positions', 'max_position_embeddings'], kvHeads: null, headDim: null,
  },
  usual: { hidden: 768, heads: 12, layers: 12, maxPositions: 1024, vocabulary: 50_257 },
  tied: true,
  names: { base: 'transformer', embedding: 'wte', layers: 'h', last: 'ln_f', attention: 'attn', tokens: 'classifier' },
  ignored: [/\.attn\.(masked_)?bias$/], // causal masks that were buffers once
  only: { add_cross_attention: [false, 'a decoder of its own has no encoder to look at'] },
  embedding: { positions: { module: 'wpe' } },
  norm: { kind: 'layer', epsilon: ['layer_norm_epsilon', 1e-5] },
  around: { attention: { before: 'ln_1' }, mlp: { before: 'ln_2' } },
  rope: null,
  attention: {
    bias: true,
    fused: { module: 'c_attn', order: 'blocks' },
    output: 'c_proj',
    turned: true,
    scale: (config, { headDim }, index) =>
      (config.boolean('scale_attn_weights', true) ? headDim ** -0.5 : 1) / (config.boolean('scale_attn_by_inverse_layer_idx', false) ? index + 1 : 1),
  },
  feedForward: plain({
    names: ['c_fc', 'c_proj'], turned: true,
    activation: activation('activation_function', 'gelu_new'),
    intermediate: (config, hidden) => config.size('n_inner', 4 * hidden),
  }),
} as const satisfies DecoderRow;

export const gpt2 = decoder(gpt2Row);
