/** Llama 1 to 3.3 and everything that is a Llama by another name. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { decoderSizes, everyLayer, gatedMlpFields, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

export const llama: Architecture = {
  modelType: 'llama',
  // the second is how the first published conversions spelled it
  classes: { LlamaForCausalLM: 'text-generation', LLaMAForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: (config) => ({ num_key_value_heads: config.size('num_attention_heads') }),
  graphs: () => ({ model: rmsDecoder(read) }),
};

/** The fields of LlamaConfig that matter here, with its defaults. */
function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, { maxPositions: 2048 });
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const bias = config.boolean('attention_bias', false);
  const mlp = gatedMlpFields(config, heads.hidden, { bias: config.boolean('mlp_bias', false) });
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
