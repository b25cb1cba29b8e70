/** Gemma 2: norms before and after each part, capped scores and logits, a window in every second layer. */
import type { Architecture } from '../architecture.js';
import type { AttentionShape } from '../blocks/attention.js';
import { gatedMlp } from '../blocks/mlp.js';
import { type RmsDecoder, rmsDecoder, type RmsNorms } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, type DecoderSizes, decoderSizes, gatedMlpFields, groupedClientConfig, plainProjections, slidingLayers } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 4, headDim: 256, maxPositions: 8192 };

export const gemma2: Architecture = {
  modelType: 'gemma2',
  classes: { Gemma2ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: true },
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const softcap = config.nullable('attn_logit_softcapping', (name) => config.positive(name), 50);
  const full: AttentionShape = {
    ...heads,
    scale: config.positive('query_pre_attn_scalar', 256) ** -0.5,
    rope: readRope(config, { dim: heads.headDim, maxPositions }),
    ...(softcap !== undefined && { softcap }),
  };
  const sliding = { ...full, window: config.size('sliding_window', 4096) };
  return {
    ...gemmaParts(config, sizes),
    attention: slidingLayers(config, decoder.layers, (index) => index % 2 === 0).map((near) => (near ? sliding : full)),
    logitSoftcap: config.nullable('final_logit_softcapping', (name) => config.positive(name), 30),
  };
}

const sandwich: RmsNorms['around'] = {
  attention: { before: 'input_layernorm', after: 'post_attention_layernorm' },
  mlp: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
};

/** What the second and third Gemma share. */
export function gemmaParts(config: Fields, sizes: DecoderSizes): Omit<RmsDecoder, 'attention'> {
  config.only('use_bidirectional_attention', false, 'a decoder looks back only');
  const { hidden } = sizes.heads;
  const bias = config.boolean('attention_bias', false);
  const mlp = gatedMlpFields(config, hidden, { field: 'hidden_activation', activation: 'gelu_pytorch_tanh' });
  return {
    decoder: sizes.decoder,
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), offset: 1, around: sandwich },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
    embeddingScale: Math.sqrt(hidden),
  };
}
