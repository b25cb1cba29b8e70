/** The fields that the configurations of decoders have in common. */
import { type Fields, MAX_HEAD_DIM, MAX_LAYERS } from './fields.js';
import { type ActivationName, activations } from './blocks/activation.js';
import type { GatedMlpShape } from './blocks/mlp.js';
import type { AttentionShape } from './blocks/attention.js';
import type { DecoderShape } from './blocks/decoder.js';
import type { SelfAttentionShape } from './blocks/self-attention.js';
import type { JsonObject } from './folder.js';

export interface DecoderSizes {
  readonly decoder: DecoderShape;
  readonly heads: { readonly hidden: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number };
  readonly maxPositions: number;
}

export interface DecoderDefaults {
  /** `num_key_value_heads` of a config without it; as many as heads when absent. */
  readonly kvHeads?: number;
  /** `head_dim` of a config without it; hidden / heads when absent. */
  readonly headDim?: number;
  readonly maxPositions: number;
}

/** Sizes under the names that Llama gave them. Throws `E_CONFIG`. */
export function decoderSizes(config: Fields, defaults: DecoderDefaults): DecoderSizes {
  const hidden = config.size('hidden_size');
  const heads = config.size('num_attention_heads');
  const kvHeads = config.size('num_key_value_heads', defaults.kvHeads ?? heads);
  const known = config.has('head_dim') || defaults.headDim !== undefined;
  const headDim = config.size('head_dim', defaults.headDim ?? Math.max(1, Math.floor(hidden / heads)), MAX_HEAD_DIM);
  if (heads % kvHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of num_attention_heads ${heads}`);
  if (!known && hidden % heads !== 0) throw config.wrong('hidden_size', `a multiple of num_attention_heads ${heads}`);
  const layers = config.size('num_hidden_layers', undefined, MAX_LAYERS);
  return {
    decoder: { layers, kvHeads, headDim, hidden, vocabulary: config.size('vocab_size') },
    heads: { hidden, heads, kvHeads, headDim },
    maxPositions: config.size('max_position_embeddings', defaults.maxPositions),
  };
}

/** Projections named as in Llama, with one flag for the biases of all four unless `output` says otherwise. */
export function plainProjections(sizes: DecoderSizes, bias: { readonly inputs: boolean; readonly output: boolean }): SelfAttentionShape {
  return { ...sizes.heads, bias: bias.inputs, output: { name: 'o_proj', bias: bias.output } };
}

export interface GatedMlpNames {
  /** Field of the activation; `hidden_act` when absent. */
  readonly field?: string;
  /** `silu` when absent. */
  readonly activation?: ActivationName;
  readonly bias?: boolean;
  /** Module that holds gate and up projection. */
  readonly fused?: string;
}

export function gatedMlpFields(config: Fields, hidden: number, names: GatedMlpNames = {}): GatedMlpShape {
  const { field = 'hidden_act', activation = 'silu', bias = false, fused } = names;
  return {
    hidden, bias, ...(fused !== undefined && { fused }),
    intermediate: config.size('intermediate_size'),
    activation: config.choice(field, activations, activation),
  };
}

/** More experts than any model has; each is a dozen nodes of the graph. */
const MAX_EXPERTS = 1024;

/** How many experts there are, under the name `field`, and how many a token is sent to. */
export function expertsPerToken(
  config: Fields, field: string, usual: { readonly experts: number; readonly perToken: number },
): { readonly experts: number; readonly perToken: number } {
  const experts = config.size(field, usual.experts, MAX_EXPERTS);
  return { experts, perToken: config.size('num_experts_per_tok', usual.perToken, experts) };
}

/** What transformers.js reads of decoders with groups of heads, where old files leave it out. */
export function groupedClientConfig(defaults: DecoderDefaults): (config: Fields) => JsonObject {
  return (config) => {
    const { heads: { kvHeads, headDim } } = decoderSizes(config, defaults);
    return { num_key_value_heads: kvHeads, head_dim: headDim };
  };
}

/** The same way of attending in all layers. */
export function everyLayer(layers: number, shape: AttentionShape): readonly AttentionShape[] {
  return new Array<AttentionShape>(layers).fill(shape);
}

const layerTypes = { full_attention: false, sliding_attention: true } as const;
type LayerType = keyof typeof layerTypes;
const isLayerType = (item: unknown): item is LayerType => typeof item === 'string' && Object.hasOwn(layerTypes, item);

/** Which layers have a window: as `layer_types` says, or `usual` where the config has no such list. */
export function slidingLayers(config: Fields, layers: number, usual: (index: number) => boolean): readonly boolean[] {
  const types = config.perLayer('layer_types', layers, isLayerType, `names out of ${Object.keys(layerTypes).join(', ')}`);
  return types?.map((type) => layerTypes[type]) ?? Array.from({ length: layers }, (_, i) => usual(i));
}
