/** What is known of an architecture of llama.cpp: how it is read as a Hugging Face model, and how one is written. */
import type { Fields } from '../hf/fields.js';
import type { JsonObject } from '../hf/folder.js';
import type { GgufFields } from './fields.js';
import type { GgufNames } from './names.js';
import type { GgufPair } from './write-pairs.js';

export interface GgufArchitecture {
  /** `general.architecture`. */
  readonly name: string;
  readonly modelType: string;
  readonly className: string;
  readonly names: GgufNames;
  /** Fields beside the common ones; `common` are those. */
  readonly config?: (fields: GgufFields, common: CommonConfig) => JsonObject;
  /**
   * `rearranged`: llama.cpp turns neighbouring rows of a head where transformers turns its first half with the second, so the
   * rows of queries and keys lie otherwise. `alike`: both turn the same rows.
   */
  readonly rotation: 'rearranged' | 'alike' | 'none';
  /** Norms are stored with this added. */
  readonly normOffset?: number;
  /** Stems whose checkpoint tensors are (inputs, outputs): the Conv1D of GPT-2. */
  readonly turned?: readonly string[];
  /** `attn_qkv` lies by kind, in the checkpoint queries lie together with the key and value that they share. */
  readonly fusedByGroup?: boolean;
  /** Files with `expert_count` above 0; a row without it of the same name is for the others. */
  readonly experts?: boolean;
  /** One of several forms under a name; it stands before the row that takes the rest. */
  readonly variant?: GgufVariant;
  readonly writing: GgufWriting;
}

export interface GgufVariant {
  /** What it has that the others do not. */
  readonly title: string;
  /** `has` tells whether layers have a tensor. */
  readonly reads: (fields: GgufFields, has: (stem: string) => boolean) => boolean;
  readonly writes: (config: Fields) => boolean;
}

/** What the configs of all architectures say. */
export interface CommonConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly has: (stem: string) => boolean;
  readonly hasBias: (stem: string) => boolean;
}

/** What llama.cpp's loader and graph of an architecture take; a config that says something else is refused. */
export interface GgufWriting {
  /** Types of config.json beside the architecture's own. */
  readonly modelTypes?: readonly string[];
  /** Stems that may have biases; none when absent. */
  readonly biases?: readonly string[];
  /** Stems that must have them. */
  readonly needed?: readonly string[];
  /** There is no place for a head of its own. */
  readonly tiedOnly?: boolean;
  /** Keys and values of a layer; by `num_key_value_heads` when absent. */
  readonly kvHeads?: (config: Fields, heads: number) => number;
  /** The share of a head that is rotated: the field, and what it is when nothing is said. */
  readonly partial?: { readonly field: string; readonly value: number };
  /** Layer norms, by the field of their epsilon and its usual value; root mean squares when absent. */
  readonly layerNorm?: readonly [field: string, usual: number];
  /** Field of the activation and those that llama.cpp computes; `hidden_act`, only silu, when absent. */
  readonly activation?: { readonly field: string; readonly names: readonly string[] };
  /** Layers have windows as the pairs say; elsewhere llama.cpp knows none, so that the context ends where one would matter. */
  readonly windows?: boolean;
  /** Scalings by lists of factors for near and far positions have tensors. */
  readonly longrope?: boolean;
  /** Pairs beside the common ones, keys without the name in front. Throws `E_CONFIG`. */
  readonly pairs?: (config: Fields, sizes: WrittenSizes) => readonly GgufPair[];
}

export interface WrittenSizes {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly positions: number;
}

/** Whether a layer has biases shows in its tensors. */
export const attentionBias = (_: GgufFields, { hasBias }: CommonConfig): JsonObject => ({ hidden_act: 'silu', attention_bias: hasBias('attn_q') });
