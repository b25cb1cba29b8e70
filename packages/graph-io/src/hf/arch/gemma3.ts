/** Gemma 3 (text): normalized queries and keys, five layers with a window to one without, each kind with its own theta. */
import type { Architecture } from '../architecture.js';
import type { AttentionShape } from '../blocks/attention.js';
import { type RmsDecoder, rmsDecoder } from '../blocks/rms-decoder.js';
import { type DecoderDefaults, decoderSizes, groupedClientConfig, slidingLayers } from '../decoder-fields.js';
import type { Fields } from '../fields.js';
import { readRope } from '../rope.js';
import { gemmaParts } from './gemma2.js';

const defaults: DecoderDefaults = { kvHeads: 4, headDim: 256, maxPositions: 131_072 };

export const gemma3: Architecture = {
  modelType: 'gemma3_text',
  classes: { Gemma3ForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: true },
  ignoredWeights: [],
  clientConfig: groupedClientConfig(defaults),
  graphs: () => ({ model: rmsDecoder(read) }),
};

function read(config: Fields): RmsDecoder {
  const sizes = decoderSizes(config, defaults);
  const { decoder, heads, maxPositions } = sizes;
  const softcap = config.has('attn_logit_softcapping') ? config.positive('attn_logit_softcapping') : undefined;
  const cap = config.has('final_logit_softcapping') ? config.positive('final_logit_softcapping') : undefined;
  const common = {
    ...heads,
    scale: config.positive('query_pre_attn_scalar', 256) ** -0.5,
    ...(softcap !== undefined && { softcap }),
  };
  // transformers 5 keeps the settings by kind of layer; before, scaling was for the layers without a window only
  const byKind = config.inside('rope_parameters');
  const shape = { dim: heads.headDim, maxPositions };
  const full: AttentionShape = {
    ...common,
    rope: readRope(config, {
      ...shape,
      theta: { field: 'rope_theta', value: 1e6 },
      settings: (byKind ? byKind.inside('full_attention') : config.inside('rope_scaling')) ?? null,
    }),
  };
  const sliding: AttentionShape = {
    ...common,
    window: config.size('sliding_window', 4096),
    rope: readRope(config, {
      ...shape,
      theta: { field: 'rope_local_base_freq', value: 1e4 },
      settings: byKind?.inside('sliding_attention') ?? null,
    }),
  };
  const period = config.size('sliding_window_pattern', 6);
  const parts = gemmaParts(config, sizes);
  return {
    ...parts,
    attention: slidingLayers(config, decoder.layers, (index) => (index + 1) % period !== 0).map((near) => (near ? sliding : full)),
    norms: { ...parts.norms, queryKey: 'heads' },
    logitSoftcap: cap,
  };
}
