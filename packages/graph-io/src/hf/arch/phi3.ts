/** Phi-3, 3.5 and 4 (mini): projections fused in one module, longrope, and heads rotated in part. */
import type { Architecture } from '../architecture.js';
import { gatedMlp } from '../blocks/mlp.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, gatedMlpFields, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { maxPositions: 4096 };

export const phi3: Architecture = {
  modelType: 'phi3',
  classes: { Phi3ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, {
    dim: heads.headDim, maxPositions, originalPositions: 4096,
    partial: { field: 'partial_rotary_factor', value: 1 },
    // the first two names that longrope had
    aliases: { su: 'longrope', yarn: 'longrope' },
  });
  const window = config.has('sliding_window') ? config.size('sliding_window') : undefined;
  const mlp = gatedMlpFields(config, heads.hidden, { fused: 'gate_up_proj' });
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope, ...(window && { window }) }),
    projections: { ...plainProjections(sizes, { inputs: false, output: false }), fused: { module: 'qkv_proj', order: 'blocks' } },
    norms: { epsilon: config.positive('rms_norm_eps', 1e-5), around: preNorm },
    feedForward: (net, x) => gatedMlp(net, 'mlp', x, mlp),
  };
}
