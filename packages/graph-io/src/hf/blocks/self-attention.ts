/** The projections around attention. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Attend, Attended, KeyValue } from './attention.js';
import { linear, type StoredLinear } from './linear.js';

export interface SelfAttentionShape {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Of queries, keys and values. */
  readonly bias: boolean;
  /** The projection back to the hidden state. */
  readonly output: { readonly name: string; readonly bias: boolean; readonly stored?: StoredLinear };
  /** The module that holds queries, keys and values in one; three of their own when absent. */
  readonly fused?: FusedProjections;
  /** Normalizes queries and keys before they are rotated; each (batch, seq, heads · headDim). */
  readonly normalize?: (name: 'q_norm' | 'k_norm', x: Value, heads: number) => Value;
}

export interface FusedProjections {
  readonly module: string;
  /** `blocks`: all queries, then all keys, then all values. `heads`: query, key, value of one head after the other. */
  readonly order: 'blocks' | 'heads';
  readonly turned?: boolean;
}

export interface LayerAttention {
  readonly attend: Attend;
  readonly past: KeyValue;
}

/** q, k, v and output projections around `attend`; x and the output are (batch, seq, hidden). */
export function selfAttention(net: Network, name: string, x: Value, shape: SelfAttentionShape, { attend, past }: LayerAttention): Attended {
  const { hidden, heads, kvHeads, headDim, bias, output: out } = shape;
  const normalize = shape.normalize ?? ((_, x) => x);
  return net.module(name, () => {
    const stored = storedProjections(shape);
    const project = (name: string, count: number, stored?: StoredLinear): Value =>
      linear(net, name, x, { inputs: hidden, outputs: count * headDim, bias, ...(stored && { stored }) });
    const query = normalize('q_norm', project('q_proj', heads, stored?.query), heads);
    const key = normalize('k_norm', project('k_proj', kvHeads, stored?.key), kvHeads);
    const value = project('v_proj', kvHeads, stored?.value);
    const { output, present } = attend({ query, key, value }, past);
    return { output: linear(net, out.name, output, { inputs: heads * headDim, outputs: hidden, ...out }), present };
  });
}

/** Where queries, keys and values lie in a fused module. */
function storedProjections(shape: SelfAttentionShape): Record<'query' | 'key' | 'value', StoredLinear> | undefined {
  const { heads, kvHeads, headDim, fused } = shape;
  if (!fused) return undefined;
  const { module, order, turned = false } = fused;
  const common = { module, turned, outputs: (heads + 2 * kvHeads) * headDim, groups: order === 'heads' ? heads : 1 };
  const starts = order === 'heads' ? [0, 1, 2] : [0, heads, heads + kvHeads];
  const [query, key, value] = starts.map((start) => ({ ...common, start: start * headDim })) as [StoredLinear, StoredLinear, StoredLinear];
  return { query, key, value };
}

/** Normalizes every head by itself: x is (batch, seq, heads · headDim), and so is the result. */
export function perHead(net: Network, x: Value, { heads, headDim }: { readonly heads: number; readonly headDim: number }, norm: (x: Value) => Value): Value {
  const apart = net.op('Reshape', [x, net.ints([0, 0, heads, headDim])]);
  return net.op('Reshape', [norm(apart), net.ints([0, 0, heads * headDim])]);
}
