/** Causal self-attention with a cache, in two forms that share one interface. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';
import { groupQueryAttention } from './attention-gqa.js';
import { standardAttention } from './attention-standard.js';
import { linear } from './linear.js';

/** `gqa`: com.microsoft.GroupQueryAttention, the fast kernel. `standard`: operators of ai.onnx only. */
export type AttentionForm = 'gqa' | 'standard';

export interface AttentionShape {
  readonly heads: number;
  /** Keys and values are shared by heads / kvHeads queries. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Multiplies the scores. */
  readonly scale: number;
}

export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

/** What every layer of a decoder attends with. */
export interface AttentionInputs {
  /** int64 (batch, total): 0 is padding. */
  readonly mask: Value;
  /** int64 (batch, seq). */
  readonly positions: Value;
}

/** (batch, seq, heads · headDim), and keys and values of (batch, seq, kvHeads · headDim). */
export interface Projections extends KeyValue {
  readonly query: Value;
}

export interface Attended {
  /** (batch, seq, heads · headDim). */
  readonly output: Value;
  /** (batch, kvHeads, total, headDim) each. */
  readonly present: KeyValue;
}

/** Attends from the new tokens to themselves and to the cache, (batch, kvHeads, past, headDim) each. */
export type Attend = (projections: Projections, past: KeyValue) => Attended;

/** Builds what all layers share (masks, cos, sin) and gives the function of a layer. */
export type AttentionMaker = (net: Network, inputs: AttentionInputs, shape: AttentionShape, rope: Rope) => Attend;

const makers: Readonly<Record<AttentionForm, AttentionMaker>> = {
  gqa: groupQueryAttention,
  standard: standardAttention,
};

export const attentionForms = Object.keys(makers) as readonly AttentionForm[];

export function causalAttention(net: Network, inputs: AttentionInputs, shape: AttentionShape, rope: Rope): Attend {
  return makers[net.attention](net, inputs, shape, rope);
}

export interface SelfAttentionShape extends AttentionShape {
  readonly hidden: number;
  readonly bias: boolean;
}

/** q, k, v and output projections around `attend`; x and the output are (batch, seq, hidden). */
export function selfAttention(
  net: Network,
  name: string,
  x: Value,
  { attend, past, shape }: { readonly attend: Attend; readonly past: KeyValue; readonly shape: SelfAttentionShape },
): Attended {
  const { hidden, heads, kvHeads, headDim, bias } = shape;
  return net.module(name, () => {
    const query = linear(net, 'q_proj', x, { inputs: hidden, outputs: heads * headDim, bias });
    const key = linear(net, 'k_proj', x, { inputs: hidden, outputs: kvHeads * headDim, bias });
    const value = linear(net, 'v_proj', x, { inputs: hidden, outputs: kvHeads * headDim, bias });
    const { output, present } = attend({ query, key, value }, past);
    return { output: linear(net, 'o_proj', output, { inputs: heads * headDim, outputs: hidden, bias }), present };
  });
}
