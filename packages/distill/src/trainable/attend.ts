/** Scaled dot-product attention in operators that have gradients: what all fused forms become. */
import { type Dim, dtypes, type Value } from '@penjing/core';
import { dimsOf, dtypeOf, type GradientOps } from '../gradient/ops.js';
import type { DecompositionContext } from './decomposition.js';

/** Scores of what must not be seen; finite, so that a row that sees nothing has finite gradients too. */
const MASKED = -1e9;

export interface Heads {
  /** (batch, heads, seq, size). */
  readonly query: Value;
  /** (batch, kvHeads, keys, size). */
  readonly key: Value;
  /** (batch, kvHeads, keys, valueSize). */
  readonly value: Value;
}

export interface AttendOptions {
  readonly heads: number;
  /** Keys and values are shared by heads / kvHeads queries in a row. */
  readonly kvHeads: number;
  readonly scale: number;
  /** softcap · tanh(score / softcap), when positive. */
  readonly softcap?: number;
  /** Added to the scores, broadcast to (batch, heads, seq, keys). */
  readonly bias?: Value | undefined;
  /** A score without a value for each head, (heads). */
  readonly sink?: Value | undefined;
}

/** (batch, heads, seq, valueSize). */
export function attend(ops: GradientOps, { query, key, value }: Heads, { heads, kvHeads, scale, softcap = 0, bias, sink }: AttendOptions): Value {
  const grouped = heads !== kvHeads;
  const sizeOf = (x: Value): number => (dimsOf(x)?.[3] as number | null | undefined) ?? -1;
  // The queries of a group stand below each other: one product for all of them, and no copies of the keys.
  const stacked = grouped ? ops.op('Reshape', [query, ops.ints([0, kvHeads, -1, sizeOf(query)])]) : query;
  const products = ops.matmul(ops.scale(stacked, scale), ops.transpose(key, [0, 1, 3, 2]));
  const apart = grouped ? ops.op('Reshape', [products, ops.ints([0, heads, -1, 0])]) : products;
  const capped = softcap > 0 ? ops.scale(ops.op('Tanh', [ops.scale(apart, 1 / softcap)]), softcap) : apart;
  const scores = bias ? ops.add(capped, bias) : capped;
  const weights = sink ? softmaxWithSink(ops, scores, sink) : ops.op('Softmax', [scores], { axis: -1 });
  const shares = grouped ? ops.op('Reshape', [weights, ops.ints([0, kvHeads, -1, 0])]) : weights;
  const mixed = ops.matmul(shares, value);
  return grouped ? ops.op('Reshape', [mixed, ops.ints([0, heads, -1, sizeOf(value)])]) : mixed;
}

/** One more key whose share goes nowhere. */
function softmaxWithSink(ops: GradientOps, scores: Value, sink: Value): Value {
  const column = ops.op('Expand', [ops.op('Reshape', [sink, ops.ints([1, -1, 1, 1])]), ops.op('Concat', [ops.op('Shape', [scores], { end: 3 }), ops.ints([1])], { axis: 0 })]);
  const weights = ops.op('Softmax', [ops.op('Concat', [column, scores], { axis: -1 })], { axis: -1 });
  return ops.op('Slice', [weights, ops.ints([1]), ops.ints([Number.MAX_SAFE_INTEGER]), ops.ints([3])]);
}

/** (batch, seq, heads · size) → (batch, heads, seq, size). */
export function splitHeads(ops: GradientOps, x: Value, heads: number): Value {
  const width = dimsOf(x)?.at(-1);
  return ops.transpose(ops.op('Reshape', [x, ops.ints([0, 0, heads, typeof width === 'number' ? width / heads : -1])]), [0, 2, 1, 3]);
}

/** (batch, heads, seq, size) → (batch, seq, heads · size). */
export function joinHeads(ops: GradientOps, x: Value): Value {
  const [, heads, , size] = dimsOf(x) ?? [];
  const width = typeof heads === 'number' && typeof size === 'number' ? heads * size : -1;
  return ops.op('Reshape', [ops.transpose(x, [0, 2, 1, 3]), ops.ints([0, 0, width])]);
}

export interface VisibleOptions {
  /** Values whose axes give the numbers of queries and keys. */
  readonly query: readonly [x: Value, axis: number];
  readonly key: readonly [x: Value, axis: number];
  readonly causal: boolean;
  /** Keys before the own one that are seen, itself not counted; all when absent. */
  readonly before?: number;
  /** Keys after it that are seen; all when absent. */
  readonly after?: number;
  /** Added where a key is seen, broadcast to (batch, heads, seq, keys). */
  readonly bias?: Value | undefined;
  /** 1 or true where a key is real, (batch, keys): others are not seen. */
  readonly like: Value;
}

/** 0, or the given bias, where a query may look, and a very low number elsewhere; undefined when all is seen. Layers with the same options share it. */
export function visible(c: DecompositionContext, { query, key, causal, before, after, bias, like }: VisibleOptions): Value | undefined {
  if (!causal && before === undefined && after === undefined) return bias;
  const { ops } = c;
  const size = ([x, axis]: readonly [Value, number]): Dim | undefined => dimsOf(x)?.[axis];
  // Sizes that are not even symbols may differ from layer to layer.
  const name = ([x, axis]: readonly [Value, number]): Value | string | number => size([x, axis]) ?? x;
  const length = ([x, axis]: readonly [Value, number]): Value => ops.op('Squeeze', [ops.op('Gather', [ops.shape(x), ops.ints([axis])])]);
  return c.shared([name(query), name(key), bias, before, after, dtypeOf(like)], `visible/${String(causal)}`, () => {
    const range = (end: Value): Value => ops.op('Range', [ops.op('Squeeze', [ops.ints([0])]), end, ops.op('Squeeze', [ops.ints([1])])]);
    const places = range(length(key)); // (keys)
    const rows = ops.unsqueeze(range(length(query)), [1]); // (seq, 1)
    const seen = [
      ...(causal ? [ops.op('LessOrEqual', [places, rows])] : []),
      ...(before === undefined ? [] : [ops.op('GreaterOrEqual', [places, ops.sub(rows, ops.ints([before]))])]),
      ...(after === undefined ? [] : [ops.op('LessOrEqual', [places, ops.add(rows, ops.ints([after]))])]),
    ].reduce((all, side) => ops.op('And', [all, side]));
    return ops.op('Where', [seen, bias ?? ops.scalar(0, like), ops.scalar(MASKED, like)]);
  });
}

/** Where `seen` does not hold, `hidden` is added: (batch, 1, 1, keys) of (batch, keys), (batch, 1, seq, keys) of (batch, seq, keys). */
export function paddingBias(c: DecompositionContext, mask: Value, like: Value, hidden = MASKED): Value {
  const { ops } = c;
  return c.shared([mask, hidden, dtypeOf(like)], 'padding', () => {
    const rank = dimsOf(mask)?.length;
    if (rank === undefined || rank < 2) throw c.unsupported(`${c.node.opType} with a mask of lengths`);
    const axes = rank === 2 ? [1, 2] : rank === 3 ? [1] : [];
    const seen = dtypeOf(mask) === 'bool' ? mask : ops.op('Cast', [mask], { to: dtypes.bool.onnx });
    return ops.unsqueeze(ops.op('Where', [seen, ops.scalar(0, like), ops.scalar(hidden, like)]), axes);
  });
}
