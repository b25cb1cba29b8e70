/** The first Gemma: norms that store the distance from 1, scaled embeddings, GeGLU. */
import type { Architecture } from '../architecture.js';
import { gatedMlp, type GatedMlpShape } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, gatedMlpFields, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 16, headDim: 256, maxPositions: 8192 };

export const gemma: Architecture = {
  modelType: 'gemma',
  classes: { GemmaForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: true },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  config.only('use_bidirectional_attention', false, 'a decoder looks back only');
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const bias = config.boolean('attention_bias', false);
  // old files say gelu and mean its approximation; some say it in hidden_activation
  const field = config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act';
  const read = gatedMlpFields(config, heads.hidden, { field, activation: 'gelu_pytorch_tanh' });
  const mlp: GatedMlpShape = { ...read, activation: read.activation === 'gelu' ? 'gelu_pytorch_tanh' : read.activation };
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), offset: 1, around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
    embeddingScale: Math.sqrt(heads.hidden),
  };
}
