/** Mistral: Llama with a window in every layer, unless `sliding_window` is null. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, gatedMlpFields, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 8, maxPositions: 131_072 };

export const mistral: Architecture = {
  modelType: 'mistral',
  classes: { MistralForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const window = config.nullable('sliding_window', (name) => config.size(name), 4096);
  const mlp = gatedMlpFields(config, heads.hidden);
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope, ...(window && { window }) }),
    projections: plainProjections(sizes, { inputs: false, output: false }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
