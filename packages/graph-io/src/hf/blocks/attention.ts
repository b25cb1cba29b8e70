/** Causal attention with a cache, in two forms that share one interface. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';
import { groupQueryAttention } from './attention-gqa.js';
import { standardAttention } from './attention-standard.js';
import { once } from './once.js';

/** `gqa`: com.microsoft.GroupQueryAttention, the fast kernel. `standard`: operators of ai.onnx only. */
export type AttentionForm = 'gqa' | 'standard';

export interface AttentionShape {
  readonly heads: number;
  /** Keys and values are shared by heads / kvHeads queries. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Multiplies the scores. */
  readonly scale: number;
  /** Tokens that a token sees, itself among them, by their places in the buffer; all before it when absent. */
  readonly window?: number;
  /** Scores become cap · tanh(score / cap). */
  readonly softcap?: number;
  /** Rotates the first columns of queries and keys; no rotation when absent. */
  readonly rope?: Rope;
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
  /** Tokens see those after them too, within the window on either side. */
  readonly ahead?: boolean;
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

/** Attends from the new tokens to themselves and to the cache, (batch, kvHeads, past, headDim) each, where there is one. */
export type Attend = (projections: Projections, past: KeyValue | undefined) => Attended;

/** Gives the function of one kind of layers; what kinds share (masks, cos, sin) is built once. */
export type AttentionMaker = (net: Network, inputs: AttentionInputs) => (shape: AttentionShape) => Attend;

const makers: Readonly<Record<AttentionForm, AttentionMaker>> = {
  gqa: groupQueryAttention,
  standard: standardAttention,
};

export const attentionForms = Object.keys(makers) as readonly AttentionForm[];

/** GroupQueryAttention refuses heads of any other width when it runs. */
const HEAD_MULTIPLE = 8;

/**
 * The functions of all layers; layers of the same shape object share one. Shapes that the fused operator does not take
 * get the standard form, and so does attention that looks ahead.
 */
export function causalAttention(net: Network, inputs: AttentionInputs, layers: readonly AttentionShape[]): Attend[] {
  const odd = layers.some(({ headDim }) => headDim % HEAD_MULTIPLE !== 0);
  const make = once(makers[odd || inputs.ahead ? 'standard' : net.attention](net, inputs));
  return layers.map(make);
}
