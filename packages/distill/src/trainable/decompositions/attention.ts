/** Attention of com.microsoft and of ai.onnx as products and softmax. */
import { dtypes, type Value } from '@penjing/core';
import { dimsOf, dtypeOf, rankOf } from '../../gradient/ops.js';
import { attend, joinHeads, paddingBias, splitHeads, visible } from '../attend.js';
import type { Decomposition, DecompositionContext } from '../decomposition.js';
import { rotated } from './rotary.js';

/** Parts of the last axis, one after the other. */
function parts(c: DecompositionContext, x: Value, sizes: readonly number[]): Value[] {
  return c.ops.nodes('Split', [x, c.ops.ints(sizes)], { axis: -1 }, { outputCount: sizes.length });
}

function widthOf(c: DecompositionContext, x: Value): number {
  const width = dimsOf(x)?.at(-1);
  if (typeof width !== 'number') throw c.unsupported(`${c.node.opType} of an unknown width`);
  return width;
}

const added = (c: DecompositionContext, ...terms: readonly (Value | undefined)[]): Value | undefined =>
  terms.filter((term) => term !== undefined).reduce<Value | undefined>((sum, term) => (sum ? c.ops.add(sum, term) : term), undefined);

/**
 * Without its cache. The lengths it takes are those of rows padded at their end; under a causal mask no real token sees that padding, and what is computed for padding
 * does not count. Otherwise the attention bias says which tokens are real.
 */
export const groupQueryAttention: Decomposition = (c) => {
  const { node, ops } = c;
  const [heads, kvHeads] = [node.int('num_heads', 1), node.int('kv_num_heads', 1)];
  if ([3, 4].some((i) => c.optional(i))) throw c.unsupported('GroupQueryAttention with a cache');
  if ([12, 13, 14, 15].some((i) => c.optional(i))) throw c.unsupported('GroupQueryAttention with a quantized cache or norms of its own');
  const packed = !c.optional(1);
  const size = packed ? widthOf(c, c.input(0)) / (heads + 2 * kvHeads) : widthOf(c, c.input(0)) / heads;
  const [flatQuery, flatKey, flatValue] = packed ? parts(c, c.input(0), [heads * size, kvHeads * size, kvHeads * size]) : [c.input(0), c.input(1), c.input(2)];
  const turn = (x: Value, count: number): Value => (node.int('do_rotary', 0) === 1 ? turned(c, x, count) : x);
  const query = splitHeads(ops, turn(flatQuery!, heads), heads);
  const key = splitHeads(ops, turn(flatKey!, kvHeads), kvHeads);
  const value = splitHeads(ops, flatValue!, kvHeads);
  const causal = node.int('causal', 1) === 1;
  const window = node.int('local_window_size', -1);
  const bias = visible(c, { query: [query, 2], key: [key, 2], causal, ...(window >= 0 && { before: window - 1 }), bias: c.optional(10), like: query });
  const lengths = causal ? undefined : lengthBias(c, c.input(5), key);
  const sink = c.optional(11) ?? (node.int('smooth_softmax', 0) === 1 ? ops.op('Expand', [ops.scalar(0, query), ops.ints([heads])]) : undefined);
  const mixed = attend(ops, { query, key, value }, {
    heads, kvHeads, scale: node.float('scale', 0) || 1 / Math.sqrt(size), softcap: node.float('softcap', 0), bias: added(c, bias, lengths), sink,
  });
  if (c.reads(3)) throw c.unsupported('the scores of GroupQueryAttention');
  return [joinHeads(ops, mixed), key, value];
};

/** Rotated by the operator's own tables: positions count from the start of a row unless they are given. */
function turned(c: DecompositionContext, x: Value, heads: number): Value {
  const { ops } = c;
  const ids = c.optional(9) ?? c.shared([dimsOf(x)?.[0] ?? x, dimsOf(x)?.[1] ?? x], 'places', () => {
    const seq = ops.op('Squeeze', [ops.op('Gather', [ops.shape(x), ops.ints([1])])]);
    return ops.op('Expand', [ops.op('Range', [ops.op('Squeeze', [ops.ints([0])]), seq, ops.op('Squeeze', [ops.ints([1])])]), ops.op('Shape', [x], { end: 2 })]);
  });
  return rotated(c, { x, ids, cos: c.input(7), sin: c.input(8), heads, interleaved: c.node.int('rotary_interleaved', 0) === 1 });
}

/** Hides the keys behind the last real one of a row; `last` int32 (batch). */
function lengthBias(c: DecompositionContext, last: Value, key: Value): Value {
  const { ops } = c;
  return c.shared([last, dimsOf(key)?.[2] ?? key], 'lengths', () => {
    const keys = ops.op('Squeeze', [ops.op('Gather', [ops.shape(key), ops.ints([2])])]);
    const places = ops.op('Range', [ops.op('Squeeze', [ops.ints([0])]), keys, ops.op('Squeeze', [ops.ints([1])])]);
    const real = ops.op('LessOrEqual', [places, ops.unsqueeze(ops.op('Cast', [ops.op('Reshape', [last, ops.ints([-1])])], { to: dtypes.int64.onnx }), [1])]);
    return paddingBias(c, real, key);
  });
}

export const multiHeadAttention: Decomposition = (c) => {
  const { node, ops } = c;
  const heads = node.int('num_heads', 1);
  if (rankOf(c.input(0)) !== 3 || !c.optional(1) || !c.optional(2)) throw c.unsupported('packed MultiHeadAttention');
  if ([6, 7].some((i) => c.optional(i))) throw c.unsupported('MultiHeadAttention with a cache');
  const width = widthOf(c, c.input(0));
  let [query, key, value] = [c.input(0), c.input(1), c.input(2)];
  const shift = c.optional(3);
  if (shift) {
    const [forQuery, forKey, forValue] = parts(c, shift, [width, width, widthOf(c, shift) - 2 * width]) as [Value, Value, Value];
    query = ops.add(query, forQuery);
    if (rankOf(key) === 3) [key, value] = [ops.add(key, forKey), ops.add(value, forValue)];
  }
  const [q, k, v] = [query, key, value].map((x) => (rankOf(x) === 4 ? x : splitHeads(ops, x, heads))) as [Value, Value, Value];
  if (c.reads(3)) throw c.unsupported('the scores of MultiHeadAttention');
  return [joinHeads(ops, attend(ops, { query: q, key: k, value: v }, { heads, kvHeads: heads, scale: scaleOf(c, width / heads), bias: biasOf(c, q, k, 4) })), k, v];
};

/** Queries, keys and values in one product. */
export const packedAttention: Decomposition = (c) => {
  const { node, ops } = c;
  const heads = node.int('num_heads', 1);
  if (c.optional(4) || node.int('do_rotary', 0) === 1) throw c.unsupported('Attention with a cache or rotary embedding');
  const product = ops.matmul(c.input(0), c.input(1));
  const all = c.optional(2) ? ops.add(product, c.input(2)) : product;
  const third = widthOf(c, all) / 3;
  const sizes = node.ints('qkv_hidden_sizes') ?? [third, third, third];
  const [query, key, value] = parts(c, all, sizes).map((x) => splitHeads(ops, x, heads)) as [Value, Value, Value];
  if (c.reads(1)) throw c.unsupported('the cache of Attention');
  return [joinHeads(ops, attend(ops, { query, key, value }, { heads, kvHeads: heads, scale: scaleOf(c, sizes[0]! / heads), bias: biasOf(c, query, key, 3) })), undefined];
};

const scaleOf = (c: DecompositionContext, size: number): number => c.node.float('scale', 0) || 1 / Math.sqrt(size);

/** Padding at input `padding`, the additive bias at 5, and the causal mask. */
function biasOf(c: DecompositionContext, query: Value, key: Value, padding: number): Value | undefined {
  const mask = c.optional(padding);
  const hidden = c.node.float('mask_filter_value', -10000);
  const causal = c.node.int('unidirectional', 0) === 1;
  const seen = visible(c, { query: [query, 2], key: [key, 2], causal, bias: c.optional(5), like: query });
  return added(c, seen, mask && paddingBias(c, mask, query, hidden));
}

/** Attention of ai.onnx, (batch, seq, heads · size) or (batch, heads, seq, size). */
export const standardAttention: Decomposition = (c) => {
  const { node, ops } = c;
  const flat = rankOf(c.input(0)) === 3;
  if ([4, 5, 6].some((i) => c.optional(i))) throw c.unsupported('Attention with a cache');
  const split = (index: number, name: string): Value => (flat ? splitHeads(ops, c.input(index), node.int(name, 1)) : c.input(index));
  const [query, key, value] = [split(0, 'q_num_heads'), split(1, 'kv_num_heads'), split(2, 'kv_num_heads')];
  const [heads, kvHeads, size] = [dimsOf(query)?.[1], dimsOf(key)?.[1], dimsOf(query)?.[3]];
  if (typeof heads !== 'number' || typeof kvHeads !== 'number' || typeof size !== 'number') throw c.unsupported('Attention of an unknown number of heads');
  const given = c.optional(3);
  const mask = given && dtypeOf(given) === 'bool' ? c.shared([given, dtypeOf(query)], 'mask', () => ops.op('Where', [given, ops.scalar(0, query), ops.scalar(-1e9, query)])) : given;
  const [left, right] = [node.int('left_window_size', -1), node.int('right_window_size', -1)];
  const bias = visible(c, {
    query: [query, 2], key: [key, 2], causal: node.int('is_causal', 0) === 1, ...(left >= 0 && { before: left }), ...(right >= 0 && { after: right }), bias: mask, like: query,
  });
  if (c.reads(3)) throw c.unsupported('the scores of Attention');
  const mixed = attend(ops, { query, key, value }, { heads, kvHeads, scale: node.float('scale', 0) || 1 / Math.sqrt(size), softcap: node.float('softcap', 0), bias });
  return [flat ? joinHeads(ops, mixed) : mixed, key, value];
};
