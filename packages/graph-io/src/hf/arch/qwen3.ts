/** Qwen3: every head of queries and keys is normalized. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, gatedMlpFields, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';
import { qwenAttention } from './qwen2.js';

const defaults: DecoderDefaults = { kvHeads: 32, headDim: 128, maxPositions: 32_768 };

export const qwen3: Architecture = {
  modelType: 'qwen3',
  classes: { Qwen3ForCausalLM: 'text-generation' },
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
    attention: qwenAttention(config, decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm, queryKey: 'heads' },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
