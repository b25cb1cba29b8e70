/** Qwen2 and 2.5: biases on queries, keys and values; windows, where used at all, in the later layers. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, gatedMlpFields, groupedClientConfig, plainProjections, slidingLayers } from '../decoder-fields.js';
import type { AttentionShape } from '../blocks/attention.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 32, maxPositions: 32_768 };

export const qwen2: Architecture = {
  modelType: 'qwen2',
  classes: { Qwen2ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions });
  const mlp = gatedMlpFields(config, heads.hidden);
  return {
    decoder,
    attention: qwenAttention(config, decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope }),
    projections: plainProjections(sizes, { inputs: true, output: false }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}

/** `use_sliding_window` gives the layers from `max_window_layers` on a window, or those that `layer_types` names. */
export function qwenAttention(config: Fields, layers: number, full: AttentionShape): readonly AttentionShape[] {
  if (!config.boolean('use_sliding_window', false)) return everyLayer(layers, full);
  const window = config.nullable('sliding_window', (name) => config.size(name), 4096);
  if (window === undefined) return everyLayer(layers, full);
  const from = config.number('max_window_layers', 28);
  const sliding = { ...full, window };
  return slidingLayers(config, layers, (index) => index >= from).map((near) => (near ? sliding : full));
}
