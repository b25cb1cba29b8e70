/** SmolLM3: Llama whose every fourth layer knows no positions. */
import type { Architecture } from '../architecture.js';
import type { AttentionShape } from '../blocks/attention.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, gatedMlpFields, groupedClientConfig, plainProjections, slidingLayers } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 4, maxPositions: 32_768 };

export const smollm3: Architecture = {
  modelType: 'smollm3',
  classes: { SmolLM3ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: true },
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder: { layers }, decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions, theta: { field: 'rope_theta', value: 2e6 } });
  const interval = config.size('no_rope_layer_interval', 4);
  const isFlag = (item: unknown): item is number => item === 0 || item === 1;
  const rotated =
    config.perLayer('no_rope_layers', layers, isFlag, 'ones and zeros') ??
    Array.from({ length: layers }, (_, i) => ((i + 1) % interval === 0 ? 0 : 1));
  const window = config.boolean('use_sliding_window', false) && config.has('sliding_window') ? config.size('sliding_window') : undefined;
  // as SmolLM3Config has it: windows, where there are any, go to the layers without rotation
  const near = slidingLayers(config, layers, (index) => window !== undefined && rotated[index] === 0);
  const shape = (index: number): AttentionShape => ({
    ...heads,
    scale: heads.headDim ** -0.5,
    ...(rotated[index] === 1 && { rope }),
    ...(window !== undefined && near[index] && { window }),
  });
  const bias = config.boolean('attention_bias', false);
  const mlp = gatedMlpFields(config, heads.hidden, { bias: config.boolean('mlp_bias', false) });
  return {
    decoder,
    attention: Array.from({ length: layers }, (_, i) => shape(i)),
    projections: plainProjections(sizes, { inputs: bias, output: bias }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-6), around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
