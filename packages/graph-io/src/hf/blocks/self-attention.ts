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
  readonly output: { readonly name: string; readonly bias: boolean };
  /** The module that holds queries, keys and values in one; three of their own when absent. */
  readonly fused?: FusedProjections;
  /** Matrices are stored as (inputs, outputs). */
  readonly turned?: boolean;
  /** Normalizes queries or keys before they are rotated; (batch, seq, heads · headDim). */
  readonly normalize?: (part: 'query' | 'key', x: Value) => Value;
}

export interface FusedProjections {
  readonly module: string;
  /** `blocks`: all queries, then all keys, then all values. `groups`: the queries of a group, its key, its value, group after group. */
  readonly order: 'blocks' | 'groups';
}

export interface LayerAttention {
  readonly attend: Attend;
  /** Undefined where a run has no past. */
  readonly past: KeyValue | undefined;
}

/** q, k, v and output projections around `attend`; x and the output are (batch, seq, hidden). */
export function selfAttention(net: Network, name: string, x: Value, shape: SelfAttentionShape, { attend, past }: LayerAttention): Attended {
  const { hidden, heads, kvHeads, headDim, bias, output: out, turned = false } = shape;
  const normalize = shape.normalize ?? ((_, x) => x);
  return net.module(name, () => {
    const stored = storedProjections(shape);
    const project = (name: string, count: number, stored?: StoredLinear): Value =>
      linear(net, name, x, { inputs: hidden, outputs: count * headDim, bias, ...(stored && { stored }) });
    const query = normalize('query', project('q_proj', heads, stored?.query));
    const key = normalize('key', project('k_proj', kvHeads, stored?.key));
    const value = project('v_proj', kvHeads, stored?.value);
    const { output, present } = attend({ query, key, value }, past);
    const back = { inputs: heads * headDim, outputs: hidden, bias: out.bias, ...(turned && { stored: { module: out.name, turned } }) };
    return { output: linear(net, out.name, output, back), present };
  });
}

/** Where queries, keys and values lie in a fused module. */
function storedProjections({ heads, kvHeads, headDim, fused, turned = false }: SelfAttentionShape): Record<'query' | 'key' | 'value', StoredLinear> | undefined {
  if (!fused) return undefined;
  const { module, order } = fused;
  const groups = order === 'groups' ? kvHeads : 1;
  const [queries, keys] = [heads / groups, kvHeads / groups];
  const at = (start: number): StoredLinear => ({ module, turned, outputs: (heads + 2 * kvHeads) * headDim, groups, start: start * headDim });
  return { query: at(0), key: at(queries), value: at(queries + keys) };
}
