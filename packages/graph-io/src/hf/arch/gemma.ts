/** Gemma 1 to 3 (text): norms that store the distance from 1, scaled embeddings, GeGLU. */
import type { ActivationName } from '../blocks/activation.js';
import { decoder } from '../decoder/decoder.js';
import { gated } from '../decoder/feed-forward.js';
import type { DecoderRow } from '../decoder/row.js';
import { windowsWhere } from '../decoder/windows.js';
import type { Fields } from '../fields.js';
import { activation, cap, flag } from '../settings.js';

const row = {
  modelType: 'gemma',
  family: 'Gemma',
  heads: ['classes', 'tokens'],
  usual: { kvHeads: 16, headDim: 256, maxPositions: 8192 },
  tied: true,
  only: { use_bidirectional_attention: [false, 'a decoder looks back only'] },
  norm: { offset: 1 },
  embedding: { scale: (_, hidden) => Math.sqrt(hidden) },
  attention: { bias: flag('attention_bias', false) },
  feedForward: gated({ activation: firstActivation }),
} as const satisfies DecoderRow;

/** Old files say gelu and mean its approximation; some say it in `hidden_activation`. */
function firstActivation(config: Fields): ActivationName {
  const name = activation(config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act', 'gelu_pytorch_tanh')(config);
  return name === 'gelu' ? 'gelu_pytorch_tanh' : name;
}

/** Norms before and after each part, capped scores and logits, a window in every second layer. */
const row2 = {
  ...row,
  modelType: 'gemma2',
  family: 'Gemma2',
  usual: { kvHeads: 4, headDim: 256, maxPositions: 8192 },
  around: {
    attention: { before: 'input_layernorm', after: 'post_attention_layernorm' },
    mlp: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
  },
  attention: {
    bias: flag('attention_bias', false),
    scale: (config) => config.positive('query_pre_attn_scalar', 256) ** -0.5,
    softcap: cap('attn_logit_softcapping', 50),
    windows: windowsWhere((index) => index % 2 === 0, 4096),
  },
  feedForward: gated({ activation: activation('hidden_activation', 'gelu_pytorch_tanh') }),
  logits: { softcap: cap('final_logit_softcapping', 30) },
} as const satisfies DecoderRow;

export const gemma = decoder(row);
export const gemma2 = decoder(row2);

const windows3 = windowsWhere((index, config) => (index + 1) % config.size('sliding_window_pattern', 6) !== 0, 4096);
const looksAhead = flag('use_bidirectional_attention', false);

/** Normalized queries and keys, five layers with a window to one without, each kind with its own theta. EmbeddingGemma also looks ahead. */
export const gemma3 = decoder({
  ...row2,
  modelType: 'gemma3_text',
  family: 'Gemma3',
  heads: ['classes'],
  only: {},
  classNames: { bare: 'Gemma3TextModel', classes: 'Gemma3TextForSequenceClassification' },
  usual: { kvHeads: 4, headDim: 256, maxPositions: 131_072 },
  rope: {
    theta: { field: 'rope_theta', value: 1e6 },
    // transformers 5 keeps the settings by kind of layer; before, scaling was for the layers without a window only
    settings: (config) => (config.has('rope_parameters') ? config.inside('rope_parameters')!.inside('full_attention') : config.inside('rope_scaling')) ?? null,
    near: {
      theta: { field: 'rope_local_base_freq', value: 1e4 },
      settings: (config) => config.inside('rope_parameters')?.inside('sliding_attention') ?? null,
    },
  },
  attention: {
    ...row2.attention,
    softcap: cap('attn_logit_softcapping'),
    ahead: looksAhead,
    // the field is the whole width then, not that of one side
    windows: (config, layers) => windows3(config, layers).map((window) => (window !== undefined && looksAhead(config) ? Math.floor(window / 2) + 1 : window)),
    queryKey: { over: 'heads' },
  },
  logits: { softcap: cap('final_logit_softcapping') },
});
