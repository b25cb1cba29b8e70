/** Reads softmax(scale · q · kᵀ + bias) · v out of the operators that exporters spell it in. */
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { sameDim } from '../infer/dims.js';
import type { Dims } from '../infer/rule.js';
import type { Dim } from '../shape.js';
import type { Rewriter } from './rewriter.js';

/** What is added to the scores, or `fill` where a condition (or its opposite) does not hold. */
export type ScoreBias = { readonly value: Value } | { readonly condition: Value; readonly fill: Value; readonly visibleWhere: boolean };

/** Values (batch, heads, length, size); keys and values may have fewer heads, each read by `heads / kvHeads` queries in a row. */
export interface AttentionParts {
  /** Gives what the attention gives, (batch, heads, queries, valueSize). */
  readonly result: Node;
  readonly q: Value;
  /** Keys, or where they only exist transposed the Transpose's source and the order that makes keys of it. */
  readonly k: { readonly value: Value; readonly perm: readonly number[] | undefined };
  readonly v: Value;
  readonly scale: number;
  readonly biases: readonly ScoreBias[];
  readonly batch: Dim;
  readonly heads: number;
  readonly kvHeads: number;
  readonly queries: Dim;
  readonly keys: Dim;
  readonly size: number;
  readonly valueSize: number;
  /** Nodes that nothing needs any more once the result is computed otherwise. */
  readonly nodes: number;
}

interface Scores {
  readonly product: Node;
  /** The scores come out of a Reshape: queries that share a head of keys stand below each other in the product. */
  readonly stacked: boolean;
  readonly scale: number;
  readonly biases: readonly ScoreBias[];
  readonly nodes: number;
}

/** Undefined where `result`, a MatMul or the Reshape after one, is no attention, or is not provably one. */
export function attentionParts(result: Node, c: Rewriter): AttentionParts | undefined {
  const stacked = result.opType === 'Reshape';
  const mixed = stacked ? privateProducer(result.input(0), c, 'MatMul') : result;
  const weights = mixed?.input(0);
  const spread = stacked ? privateProducer(weights, c, 'Reshape') : undefined;
  const softmax = privateProducer(stacked ? spread?.input(0) : weights, c, 'Softmax');
  if (!mixed || !softmax || !overLast(softmax, c)) return undefined;
  const scores = scoresOf(softmax.input(0), c);
  if (!scores || scores.stacked !== stacked) return undefined;

  const left = unscaled(scores.product.input(0)!, c);
  const unstacked = stacked ? c.producer(left.value, 'Reshape') : undefined;
  const inner = stacked ? unscaled(unstacked?.input(0) ?? left.value, c) : left;
  const keys = keysOf(scores.product.input(1)!, c);
  const [q, k, v] = [inner.value, withoutRepeats(keys.value, keys.perm, c), withoutRepeats(mixed.input(1)!, undefined, c)];
  const [from, shape] = [c.shape(q), c.shape(softmax.input(0))];
  const [keyShape, valueShape] = [permuted(c.shape(k), keys.perm), c.shape(v)];
  if ([from, shape, keyShape, valueShape].some((dims) => dims?.length !== 4)) return undefined;
  const [batch, heads, queries, size] = from as [Dim, Dim, Dim, Dim];
  const kvHeads = keyShape![1]!;
  const valueSize = valueShape![3]!;
  if (typeof heads !== 'number' || typeof kvHeads !== 'number' || typeof size !== 'number' || typeof valueSize !== 'number' || kvHeads === 0 || heads % kvHeads !== 0) return undefined;
  const same = shape![1] === heads && valueShape![1] === kvHeads && keyShape![3] === size && sameDim(batch, keyShape![0]!) && sameDim(batch, valueShape![0]!);
  // Stacking must keep rows in order, and give back the scores of every head: dimensions other than heads and rows stay.
  const product = c.shape(scores.product.output(0));
  const apart = !stacked || (unstacked !== undefined && product?.length === 4 && product[1] === kvHeads && sameDim(product[0]!, batch) && sameDim(shape![0]!, batch)
    && sameDim(product[3]!, shape![3]!) && c.shape(result.output(0))?.[1] === heads && sameDim(c.shape(result.output(0))?.[0] ?? null, batch));
  if (!same || !apart || (!stacked && heads !== kvHeads && k === keys.value) || ![q, k, v].every((value) => c.dtype(value) === 'float32')) return undefined;
  return {
    result, q, k: { value: k, perm: keys.perm }, v, scale: left.scale * (stacked ? inner.scale : 1) * keys.scale * scores.scale, biases: scores.biases,
    batch, heads, kvHeads, queries, keys: keyShape![2]!, size, valueSize,
    nodes: 2 + scores.nodes + left.nodes + (stacked ? inner.nodes + 3 : 0) + keys.nodes,
  };
}

/** The node of a kind that computes a value for one reader only. */
function privateProducer(value: Value | null | undefined, c: Rewriter, ...opTypes: readonly string[]): Node | undefined {
  const node = c.producer(value, ...opTypes);
  return node && c.isPrivate(value!) ? node : undefined;
}

/** Before opset 13 Softmax took everything from its axis on, which was 1 when not given. */
function overLast(softmax: Node, c: Rewriter): boolean {
  const axis = softmax.int('axis', c.opset < 13 ? 1 : -1);
  return axis === -1 || axis === (c.shape(softmax.input(0))?.length ?? 0) - 1;
}

function scoresOf(value: Value | undefined, c: Rewriter): Scores | undefined {
  const node = privateProducer(value, c, 'Add', 'Where', 'Mul', 'Div', 'MatMul', 'Reshape');
  if (!node) return undefined;
  if (node.opType === 'Add') {
    for (const index of [0, 1]) {
      const inner = scoresOf(node.input(index), c);
      const value = node.input(1 - index);
      if (inner && value && keepsShape(node, index, c)) return { ...inner, biases: [...inner.biases, { value }], nodes: inner.nodes + 1 };
    }
    return undefined;
  }
  if (node.opType === 'Where') {
    for (const index of [1, 2]) {
      const [inner, fill] = [scoresOf(node.input(index), c), node.input(3 - index)];
      const number = c.scalar(fill);
      // So low that it swallows any score it is added to: then adding and replacing are the same.
      if (!inner || number === undefined || number > -1e30 || inner.biases.length > 0 || !keepsShape(node, index, c)) continue;
      return { ...inner, biases: [{ condition: node.input(0)!, fill: fill!, visibleWhere: index === 1 }], nodes: inner.nodes + 1 };
    }
    return undefined;
  }
  const scaled = unscaled(value!, c);
  const reshaped = privateProducer(scaled.value, c, 'Reshape');
  const product = privateProducer(reshaped ? reshaped.input(0) : scaled.value, c, 'MatMul');
  return product && { product, stacked: reshaped !== undefined, scale: scaled.scale, biases: [], nodes: scaled.nodes + 1 };
}

/** The scores are as large as what they are joined with makes them. */
function keepsShape(node: Node, index: number, c: Rewriter): boolean {
  const [scores, out] = [c.shape(node.input(index)), c.shape(node.output(0))];
  return scores?.length === 4 && out?.length === 4 && scores[1] === out[1];
}

/** Takes a multiplication by, or division by, a number off. */
function unscaled(value: Value, c: Rewriter): { readonly value: Value; readonly scale: number; readonly nodes: number } {
  const node = c.producer(value, 'Mul', 'Div');
  for (const index of node?.opType === 'Mul' ? [0, 1] : node ? [0] : []) {
    const number = c.scalar(node!.input(1 - index));
    const inner = node!.input(index);
    if (number === undefined || !inner || !Number.isFinite(number) || number === 0 || c.shape(inner)?.length !== c.shape(value)?.length) continue;
    return { value: inner, scale: node!.opType === 'Mul' ? number : 1 / number, nodes: c.isPrivate(value) ? 1 : 0 };
  }
  return { value, scale: 1, nodes: 0 };
}

interface Keys {
  readonly value: Value;
  readonly perm: readonly number[] | undefined;
  readonly scale: number;
  readonly nodes: number;
}

/** From transposed keys, (batch, heads, size, keys), back to keys; a factor may stand before or after the Transpose. */
function keysOf(transposed: Value, c: Rewriter): Keys {
  const outer = unscaled(transposed, c);
  const node = c.producer(outer.value, 'Transpose');
  const perm = node?.ints('perm');
  if (!node || perm?.length !== 4) return { ...outer, perm: [0, 1, 3, 2] };
  const order = [perm[0]!, perm[1]!, perm[3]!, perm[2]!];
  const inner = unscaled(node.input(0)!, c);
  return {
    value: inner.value, perm: order.every((axis, i) => axis === i) ? undefined : order, scale: outer.scale * inner.scale,
    nodes: outer.nodes + inner.nodes + (c.isPrivate(outer.value) ? 1 : 0),
  };
}

const permuted = (shape: Dims | undefined, perm: readonly number[] | undefined): Dims | undefined => (perm && shape?.length === 4 ? perm.map((axis) => shape[axis]!) : shape);

/** Before each head was repeated for its queries: (batch, kvHeads, length, size) from Unsqueeze, Expand, Reshape. */
function withoutRepeats(value: Value, perm: readonly number[] | undefined, c: Rewriter): Value {
  const reshape = perm ? undefined : c.producer(value, 'Reshape');
  const expand = c.producer(reshape?.input(0), 'Expand');
  const unsqueeze = c.producer(expand?.input(0), 'Unsqueeze');
  const source = unsqueeze?.input(0);
  const axes = unsqueeze && c.axes(unsqueeze);
  const [from, wide, to] = [c.shape(source), c.shape(expand?.output(0)), c.shape(value)];
  if (!source || axes?.length !== 1 || axes[0] !== 2 || from?.length !== 4 || wide?.length !== 5 || to?.length !== 4) return value;
  const spread = [wide[0]!, wide[1]!, wide[3]!, wide[4]!].every((dim, i) => sameDim(dim, from[i]!));
  const repeats = typeof wide[2] === 'number' && typeof from[1] === 'number' && to[1] === wide[2] * from[1];
  return spread && repeats && [0, 2, 3].every((axis) => sameDim(to[axis]!, from[axis]!)) ? source : value;
}

/**
 * What is added to the scores that `value` holds, whoever else reads them; undefined where it does not come from a product. Scores of
 * finite queries and keys count as finite.
 */
export function attentionScores(value: Value | null | undefined, c: Rewriter, depth = 8): readonly ScoreBias[] | undefined {
  const node = depth > 0 ? c.producer(value, 'MatMul', 'Add', 'Where', 'Mul', 'Div', 'Reshape') : undefined;
  if (!node) return undefined;
  if (node.opType === 'MatMul') return [];
  if (node.opType === 'Reshape') {
    const [from, to] = [c.shape(node.input(0))?.at(-1), c.shape(value!)?.at(-1)];
    return from !== undefined && to !== undefined && sameDim(from, to) ? attentionScores(node.input(0), c, depth - 1) : undefined;
  }
  if (node.opType === 'Mul' || node.opType === 'Div') {
    const inner = unscaled(value!, c);
    const scores = inner.value === value || inner.scale < 0 ? undefined : attentionScores(inner.value, c, depth - 1);
    return scores?.length === 0 ? scores : undefined;
  }
  for (const index of node.opType === 'Add' ? [0, 1] : [1, 2]) {
    const inner = attentionScores(node.input(index), c, depth - 1);
    const other = node.input(node.opType === 'Add' ? 1 - index : 3 - index);
    if (!inner || !other) continue;
    return [...inner, node.opType === 'Add' ? { value: other } : { condition: node.input(0)!, fill: other, visibleWhere: index === 1 }];
  }
  return undefined;
}
