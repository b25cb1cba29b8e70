/** Mixtral: Mistral whose feed-forward layers are mixtures of experts. */
import type { Architecture } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { type ExpertsShape, mixtureOfExperts } from '../blocks/experts.js';
import { preNorm, type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, everyLayer, expertsPerToken, groupedClientConfig, plainProjections } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';

const defaults: DecoderDefaults = { kvHeads: 8, maxPositions: 131_072 };

export const mixtral: Architecture = {
  modelType: 'mixtral',
  classes: { MixtralForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const rope = readRope(config, { dim: heads.headDim, maxPositions, theta: { field: 'rope_theta', value: 1e6 } });
  const window = config.has('sliding_window') ? config.size('sliding_window') : undefined;
  const experts: ExpertsShape = {
    ...expertsPerToken(config, 'num_local_experts', { experts: 8, perToken: 2 }),
    normalized: true,
    expert: {
      hidden: heads.hidden, intermediate: config.size('intermediate_size'), bias: false,
      activation: config.choice('hidden_act', activations, 'silu'), names: { gate: 'w1', up: 'w3', down: 'w2' },
    },
  };
  return {
    decoder,
    attention: everyLayer(decoder.layers, { ...heads, scale: heads.headDim ** -0.5, rope, ...(window && { window }) }),
    projections: plainProjections(sizes, { inputs: false, output: false }),
    norms: { epsilon: config.positive('rms_norm_eps', 1e-5), around: preNorm },
    feedForward: (net, x) => mixtureOfExperts(net, 'block_sparse_moe', x, experts),
  };
}
