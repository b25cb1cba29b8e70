/** What an architecture of decoders may say of itself: one row of the table in `arch/`; what it leaves out is as in Llama. */
import type { NormsOver } from '../blocks/head-norms.js';
import type { FusedProjections } from '../blocks/self-attention.js';
import type { Fields } from '../fields.js';
import type { RopeShape } from '../rope.js';
import type { Setting } from '../settings.js';
import type { FeedForward } from './feed-forward.js';
import type { DecoderSizes, SizeRow } from './sizes.js';
import type { Windows } from './windows.js';

export interface DecoderRow extends SizeRow {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** What the names of its classes begin with: `Llama` of `LlamaForCausalLM`. */
  readonly family: string;
  /** Heads that transformers has classes for, besides the one that writes. */
  readonly heads?: readonly DecoderHead[];
  /** Classes whose names are not made in the usual way, in full. */
  readonly classNames?: Readonly<Partial<Record<DecoderClass, string>>>;
  /** Other names of the class that writes. */
  readonly alsoNamed?: readonly string[];
  /** Whether the head is the embedding table where the config does not say; false when absent. */
  readonly tied?: boolean;
  readonly names?: Partial<DecoderNames>;
  /** Tensors of old checkpoints that are no weights. */
  readonly ignored?: readonly RegExp[];
  /** Fields that must have one value, or be absent: what they would change is not built. */
  readonly only?: Readonly<Record<string, readonly [allowed: unknown, why: string]>>;

  readonly embedding?: EmbeddingRow;
  readonly norm?: Partial<NormRow>;
  /** Norms around the parts of a layer. */
  readonly around?: Setting<LayerNorms>;
  /** Both parts see the layer's input, and their outputs are added to it at once. */
  readonly parallel?: Setting<boolean>;
  /** Multiplies what a part adds. */
  readonly residual?: Setting<number>;
  readonly attention?: AttentionRow;
  /** How queries and keys turn; null: not at all. */
  readonly rope?: RopeRow | null;
  readonly feedForward?: FeedForward;
  readonly logits?: LogitsRow;
}

/** `ForSequenceClassification`, `ForTokenClassification`, `ForQuestionAnswering`. */
export type DecoderHead = 'classes' | 'tokens' | 'questions';

/** `ForCausalLM`, `Model`, and those of the heads. */
export type DecoderClass = 'writes' | 'bare' | DecoderHead;

/** What the checkpoint calls the modules. */
export interface DecoderNames {
  /** `model`. */
  readonly base: string;
  /** `embed_tokens`. */
  readonly embedding: string;
  /** `layers`. */
  readonly layers: string;
  /** The norm after the last layer, `norm`; null: there is none. */
  readonly last: Setting<string | null>;
  /** `self_attn`. */
  readonly attention: string;
  /** `lm_head`. */
  readonly head: string;
  /** The head of `ForTokenClassification`, `score`. */
  readonly tokens: string;
}

export interface EmbeddingRow {
  /** Multiplies the embeddings. */
  readonly scale?: (config: Fields, hidden: number) => number;
  /** A table of places, the first `offset` rows of which no token uses; counted over all tokens of a text, or over the real ones. */
  readonly positions?: { readonly module: string; readonly offset?: number; readonly counting?: 'all' | 'real' };
  /** Width of the table where it is not `hidden`, and the layers between the two. */
  readonly narrow?: { readonly field: string; readonly into: string; readonly outOf: string };
}

export interface NormRow {
  /** `rms`, or `layer`: with the mean taken away. */
  readonly kind: 'rms' | 'layer';
  /** Field of the epsilon, or the epsilon itself where the code fixes it. */
  readonly epsilon: readonly [field: string, usual: number] | number;
  /** Added to stored weights. */
  readonly offset?: number;
  /** Of layer norms; true when absent. */
  readonly bias?: boolean;
}

/** Norms of one part of a layer, by name. */
export interface PartNorms {
  /** Of what goes in. */
  readonly before?: string;
  /** Of what comes out, before it is added. */
  readonly after?: string;
  /** Of the sum. */
  readonly sum?: string;
}

export interface LayerNorms {
  readonly attention: PartNorms;
  readonly mlp: PartNorms;
}

export interface AttentionRow {
  /** Of queries, keys and values; false when absent. */
  readonly bias?: Setting<boolean>;
  /** Of the projection back; as the others when absent. */
  readonly outputBias?: Setting<boolean>;
  /** The projection back, `o_proj`. */
  readonly output?: string;
  /** The module that holds queries, keys and values in one. */
  readonly fused?: FusedProjections;
  /** Matrices are stored as (inputs, outputs). */
  readonly turned?: boolean;
  /** Normalizes queries and keys before they turn. */
  readonly queryKey?: Setting<QueryKeyNorms | undefined>;
  /** Multiplies the scores of layer `index`; 1 / √headDim when absent. */
  readonly scale?: (config: Fields, sizes: DecoderSizes, index: number) => number;
  /** Scores become cap · tanh(score / cap). */
  readonly softcap?: Setting<number | undefined>;
  readonly windows?: Windows;
  /** Tokens see those after them too: an encoder made of a decoder. */
  readonly ahead?: Setting<boolean>;
  /** Layers whose queries and keys turn; all when absent. */
  readonly rotated?: (config: Fields, layers: number) => (index: number, window: number | undefined) => boolean;
}

export interface QueryKeyNorms {
  readonly over: NormsOver;
  /** `q_norm` and `k_norm`. */
  readonly names?: readonly [query: string, key: string];
  /** Of layer norms; as the row's others when absent. */
  readonly bias?: boolean;
}

export interface RopeRow extends Omit<RopeShape, 'dim' | 'maxPositions' | 'settings'> {
  /** Where the settings are; `rope_parameters` or `rope_scaling` as a whole when absent. */
  readonly settings?: (config: Fields) => RopeShape['settings'];
  /** Of the layers with a window, where it is another. */
  readonly near?: Omit<RopeRow, 'near'>;
}

export interface LogitsRow {
  readonly scale?: Setting<number>;
  /** Logits become cap · tanh(logit / cap). */
  readonly softcap?: Setting<number | undefined>;
  readonly bias?: boolean;
}

