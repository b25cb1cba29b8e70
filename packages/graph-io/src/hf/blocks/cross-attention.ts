/** Attention of a decoder that has an encoder: to its own tokens through a cache, and to the encoder's states. */
import { attribute, type Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { LayerCache } from '../seq2seq-ports.js';
import type { KeyValue } from './attention.js';
import type { ProjectionNames } from './attention-encoder.js';
import { linear } from './linear.js';

export interface CachedAttentionShape {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly bias: boolean;
  /** Of the key projection; `bias` when absent. */
  readonly keyBias?: boolean;
  /** Multiplies the scores. */
  readonly scale: number;
  readonly names: ProjectionNames;
}

/** What a decoder knows of its encoder, and of its own steps before. */
export interface DecoderMemory {
  /** (batch, encoder seq, hidden). */
  readonly encoderStates: Value;
  /** bool (1): whether `past` holds something; absent where texts are read whole. */
  readonly useCache?: Value;
  /** By layer; undefined where texts are read whole. */
  readonly past: readonly (LayerCache | undefined)[];
}

export interface Cached {
  /** (batch, seq, hidden). */
  readonly output: Value;
  /** (batch, heads, length, headDim) each. */
  readonly present: KeyValue;
}

/** From the new tokens to themselves and to the cache; `bias` is float32, broadcast to (batch, heads, seq, total). */
export function cachedSelfAttention(net: Network, name: string, x: Value, shape: CachedAttentionShape, past: KeyValue | undefined, bias: Value): Cached {
  return net.module(name, () => {
    const query = queries(net, x, shape);
    const fresh = keysAndValues(net, x, shape);
    const key = past ? net.op('Concat', [past.key, fresh.key], { axis: 2 }) : fresh.key;
    const value = past ? net.op('Concat', [past.value, fresh.value], { axis: 2 }) : fresh.value;
    return { output: outputOf(net, mixed(net, query, { key, value }, bias), shape), present: { key, value } };
  });
}

/**
 * To the encoder's states. Their keys and values are computed in the first step and come from the cache in the others,
 * where they are read in place: a branch that gave them back would copy them at every step, so it gives empty ones.
 */
export function crossAttention(
  net: Network, name: string, x: Value, shape: CachedAttentionShape, { encoderStates, useCache }: DecoderMemory, past: LayerCache | undefined, bias: Value | undefined,
): Cached {
  return net.module(name, () => {
    const query = queries(net, x, shape);
    if (!past || !useCache) {
      const present = keysAndValues(net, encoderStates, shape);
      return { output: outputOf(net, mixed(net, query, present, bias), shape), present };
    }
    const later = net.builder.subgraph('cached', () => [
      mixed(net, query, past.encoder, bias), ...[past.encoder.key, past.encoder.value].map((value) => net.op('Slice', [value, net.ints([0]), net.ints([0]), net.ints([2])])),
    ]);
    const first = net.builder.subgraph('computed', () => {
      const fresh = keysAndValues(net, encoderStates, shape);
      return [mixed(net, query, fresh, bias), fresh.key, fresh.value];
    });
    const [mix, key, value] = net.builder.nodes(
      'If', [useCache], { then_branch: attribute.graph(later), else_branch: attribute.graph(first) }, { outputCount: 3 },
    );
    return { output: outputOf(net, mix!, shape), present: { key: key!, value: value! } };
  });
}

/** (batch, heads, seq, headDim). */
function queries(net: Network, x: Value, shape: CachedAttentionShape): Value {
  const { hidden, heads, headDim, bias, names, scale } = shape;
  const query = linear(net, names.query, x, { inputs: hidden, outputs: heads * headDim, bias });
  return split(net, scale === 1 ? query : net.op('Mul', [query, net.scalar(scale)]), shape);
}

function keysAndValues(net: Network, x: Value, shape: CachedAttentionShape): KeyValue {
  const { hidden, heads, headDim, bias, keyBias = bias, names } = shape;
  const outputs = heads * headDim;
  return {
    key: split(net, linear(net, names.key, x, { inputs: hidden, outputs, bias: keyBias }), shape),
    value: split(net, linear(net, names.value, x, { inputs: hidden, outputs, bias }), shape),
  };
}

function outputOf(net: Network, mix: Value, { hidden, heads, headDim, bias, names }: CachedAttentionShape): Value {
  const joined = net.op('Reshape', [net.op('Transpose', [mix], { perm: [0, 2, 1, 3] }), net.ints([0, 0, heads * headDim])]);
  return linear(net, names.output, joined, { inputs: heads * headDim, outputs: hidden, bias });
}

function split(net: Network, x: Value, { heads, headDim }: CachedAttentionShape): Value {
  return net.op('Transpose', [net.op('Reshape', [x, net.ints([0, 0, heads, headDim])])], { perm: [0, 2, 1, 3] });
}

/** softmax(q · kᵀ + bias) · v, (batch, heads, seq, headDim). */
function mixed(net: Network, query: Value, { key, value }: KeyValue, bias: Value | undefined): Value {
  const scores = net.widen(net.op('MatMul', [query, net.op('Transpose', [key], { perm: [0, 1, 3, 2] })]));
  const weights = net.op('Softmax', [bias ? net.op('Add', [scores, bias]) : scores], { axis: -1 });
  return net.op('MatMul', [net.narrow(weights), value]);
}

/** The places of the new tokens and of all, int64 (seq) and (total), where `past` is (batch, heads, past, headDim), or absent. */
export function decoderPlaces(net: Network, ids: Value, past?: Value): { readonly query: Value; readonly key: Value; readonly start: Value; readonly end: Value } {
  const start = past ? net.op('Shape', [past], { start: 2, end: 3 }) : net.ints([0]); // (1)
  const end = net.op('Add', [start, net.op('Shape', [ids], { start: 1, end: 2 })]);
  const [from, to] = [net.op('Squeeze', [start]), net.op('Squeeze', [end])];
  return { query: net.op('Range', [from, to, net.ints(1)]), key: net.op('Range', [net.ints(0), to, net.ints(1)]), start, end };
}

/** True where a token may look, (seq, total). */
export function causal(net: Network, places: { readonly query: Value; readonly key: Value }): Value {
  return net.op('LessOrEqual', [places.key, net.op('Unsqueeze', [places.query, net.ints([1])])]);
}
