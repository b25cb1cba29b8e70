/** OLMo 2: norms after the parts of a layer instead of before, queries and keys normalized over their whole width. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, gatedMlpFields, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { maxPositions: 2048 };

export const olmo2: Architecture = {
  modelType: 'olmo2',
  classes: { Olmo2ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const bias = config.boolean('attention_bias', false);
  const mlp = gatedMlpFields(config, heads.hidden);
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: {
      epsilon: config.positive('rms_norm_eps', 1e-5),
      around: { attention: { after: 'post_attention_layernorm' }, mlp: { after: 'post_feedforward_layernorm' } },
      queryKey: 'whole',
    },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
