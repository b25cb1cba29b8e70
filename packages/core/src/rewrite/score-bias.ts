/** Brings what is added to attention scores into the one shape that fused operators take, and knows what it hides. */
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { sameDim } from '../infer/dims.js';
import { dtypeOfOnnx } from '../dtype.js';
import type { Dim } from '../shape.js';
import { attribute } from '../graph/attribute.js';
import type { AttentionParts, ScoreBias } from './attention-parts.js';
import { numbersOf } from './constant-of.js';
import type { Rewriter } from './rewriter.js';

export interface FittedBias {
  /** Nodes that fitting inserts before it is shared with other layers. */
  readonly nodes: number;
  /** Inserts them and gives (1 or batch, 1 or heads, queries, keys). */
  readonly insert: (before: Node) => Value;
}

/**
 * ONNX Runtime broadcasts a bias over batch and heads, not over queries and keys (attention_helper.h of 1.30 refuses), so one
 * that is not provably of that size is expanded. Layers share the expansion, as `common` merges what is equal.
 */
export function fitBias(parts: AttentionParts, c: Rewriter): FittedBias | undefined {
  const { biases, batch, heads, queries, keys } = parts;
  const shapes = biases.map((bias) => c.shape('value' in bias ? bias.value : bias.condition));
  if (shapes.some((shape) => shape === undefined || shape.length > 4) || biases.some((bias) => 'value' in bias && c.dtype(bias.value) !== 'float32')) return undefined;
  const wanted: readonly Dim[] = [batch, heads, queries, keys];
  const fits = (dim: Dim | undefined, axis: number): boolean => dim !== undefined && ((axis < 2 && dim === 1) || sameDim(dim, wanted[axis]!));
  // Of several biases the sum counts: along every axis at least one must have the size.
  const padded = shapes.map((shape) => [...Array.from({ length: 4 - shape!.length }, () => 1), ...shape!]);
  const known = padded.every((shape) => shape.every((dim, axis) => dim === 1 || fits(dim, axis)));
  const full = known && shapes.some((shape) => shape!.length === 4) && [2, 3].every((axis) => padded.some((shape) => fits(shape[axis], axis)));
  const sizes = wanted.map((dim, axis): Dim => (axis < 2 && padded.every((shape) => fits(shape[axis], axis)) ? 1 : dim));
  const fixed = sizes.every((dim) => typeof dim === 'number');
  const joined = biases.length - 1 + biases.filter((bias) => 'fill' in bias).length;
  return {
    nodes: joined + (full ? 0 : fixed ? 1 : 2 + sizes.filter((dim) => typeof dim !== 'number').length),
    insert(before) {
      const added = biases.map((bias) => additive(bias, before, c));
      const sum = added.slice(1).reduce((a, b) => c.insert(before, 'Add', [a, b]), added[0]!);
      if (full) return sum;
      const name = `${before.output(0).name}/bias_shape`;
      const target = fixed
        ? c.addNumbers(before, 'int64', sizes, name)
        : c.insert(before, 'Concat', sizes.map((dim, axis) => sizeValue(dim, axis, parts, before, c)), { axis: attribute.int(0) });
      return c.insert(before, 'Expand', [sum, target]);
    },
  };
}

function additive(bias: ScoreBias, before: Node, c: Rewriter): Value {
  if ('value' in bias) return bias.value;
  const zero = c.addNumbers(before, 'float32', 0, `${before.output(0).name}/seen`);
  return c.insert(before, 'Where', bias.visibleWhere ? [bias.condition, zero, bias.fill] : [bias.condition, bias.fill, zero]);
}

/** A list of one with a size of the scores, from an input of the graph if one has it, so that all layers ask the same. */
function sizeValue(dim: Dim, axis: number, { q, k }: AttentionParts, before: Node, c: Rewriter): Value {
  if (typeof dim === 'number') return c.addNumbers(before, 'int64', [dim], `${before.output(0).name}/size`);
  const own = axis < 3 ? { value: q, axis } : { value: k.value, axis: k.perm?.[2] ?? 2 };
  const { value, axis: at } = (dim !== null && sourceOf(dim, before, c)) || own;
  // Shape has `start` from opset 15 on.
  if (c.opset >= 15) return c.insert(before, 'Shape', [value], { start: attribute.int(at), end: attribute.int(at + 1) });
  return c.insert(before, 'Gather', [c.insert(before, 'Shape', [value]), c.addNumbers(before, 'int64', [at], `${before.output(0).name}/axis`)]);
}

function sourceOf(dim: Dim, before: Node, c: Rewriter): { readonly value: Value; readonly axis: number } | undefined {
  const find = (value: Value): { value: Value; axis: number } | undefined => {
    const axis = c.shape(value)?.findIndex((size) => sameDim(size, dim)) ?? -1;
    return axis < 0 ? undefined : { value, axis };
  };
  for (const value of c.root.inputs) {
    const found = find(value);
    if (found) return found;
  }
  for (const node of before.graph?.nodes() ?? []) {
    if (node === before) break;
    for (const value of node.outputs) {
      const found = value.name === '' || node.opType === 'Constant' ? undefined : find(value);
      if (found) return found;
    }
  }
  return undefined;
}

/** The keys that rows see, int32 (batch, keys), where that is all that a bias says: `Where(Unsqueeze(seen, [1, 2]), 0, fill)`. */
export function paddingOf(parts: AttentionParts, c: Rewriter): { readonly seen: Value; readonly fill: number } | undefined {
  const [bias, more] = parts.biases;
  if (!bias || more) return undefined;
  const where = 'value' in bias ? c.producer(bias.value, 'Where') : undefined;
  const fill = c.scalar('fill' in bias ? bias.fill : where?.input(2));
  const condition = 'fill' in bias ? (bias.visibleWhere ? bias.condition : undefined) : c.scalar(where?.input(1)) === 0 ? where?.input(0) : undefined;
  const unsqueeze = c.producer(condition, 'Unsqueeze');
  const axes = unsqueeze && c.axes(unsqueeze);
  const seen = unsqueeze?.input(0);
  const shape = c.shape(seen);
  if (!seen || fill === undefined || axes?.join() !== '1,2' || shape?.length !== 2 || !sameDim(shape[0]!, parts.batch) || !sameDim(shape[1]!, parts.keys)) return undefined;
  return { seen, fill };
}

/** True when every row of the scores provably sees some key: no bias, a finite one, or a stored one without a row of -Infinity. */
export function everyRowSees(biases: readonly ScoreBias[], c: Rewriter): boolean {
  return biases.length === 0 || (biases.length === 1 && biasSees(biases[0]!, c)) || biases.every((bias) => isFiniteBias(bias, c));
}

function biasSees(bias: ScoreBias, c: Rewriter): boolean {
  if (isFiniteBias(bias, c)) return true;
  if ('fill' in bias) return rowsHave(bias.condition, (x) => (x !== 0) === bias.visibleWhere, c) || (bias.visibleWhere && isCausal(bias.condition, c));
  const where = c.producer(bias.value, 'Where');
  if (where && c.scalar(where.input(1)) === 0) return biasSees({ condition: where.input(0)!, fill: where.input(2)!, visibleWhere: true }, c);
  return rowsHave(bias.value, Number.isFinite, c);
}

const isFiniteBias = (bias: ScoreBias, c: Rewriter): boolean => isFinite('fill' in bias ? bias.fill : bias.value, c);

/** Only move elements of their first input. */
const MOVES = ['Identity', 'Transpose', 'Reshape', 'Unsqueeze', 'Squeeze', 'Expand', 'Slice', 'Gather', 'GatherElements'];

/** No element is infinite: stored numbers, moved, chosen and added. */
function isFinite(value: Value | null | undefined, c: Rewriter, depth = 8): boolean {
  const numbers = numbersOf(c.constant(value));
  if (numbers) return numbers.every(Number.isFinite);
  const node = depth > 0 ? c.producer(value, 'Where', 'Add', ...MOVES) : undefined;
  const read = node?.opType === 'Where' ? node.inputs.slice(1) : node?.opType === 'Add' ? node.inputs : node?.inputs.slice(0, 1);
  return read?.every((input) => isFinite(input, c, depth - 1)) ?? false;
}

/** In every row along the last axis of a stored value. */
function rowsHave(value: Value, test: (x: number) => boolean, c: Rewriter): boolean {
  const tensor = c.constant(value);
  const numbers = numbersOf(tensor);
  const length = tensor?.shape.at(-1);
  if (!numbers || !length || numbers.length % length !== 0) return false;
  for (let from = 0; from < numbers.length; from += length) if (!numbers.slice(from, from + length).some(test)) return false;
  return true;
}

/** Key places from 0 on, (1, keys), not behind query places from 0 on, (queries, 1): every query sees the first key. */
function isCausal(value: Value, c: Rewriter): boolean {
  const compare = c.producer(value, 'LessOrEqual', 'Cast');
  if (compare?.opType === 'Cast') return dtypeOfOnnx.get(compare.int('to', 0)) === 'bool' && isCausal(compare.input(0)!, c);
  const start = (of: Value | null | undefined, axis: number): number | undefined => {
    const unsqueeze = c.producer(of, 'Unsqueeze');
    const range = c.producer(unsqueeze?.input(0), 'Range');
    return unsqueeze && c.axes(unsqueeze)?.join() === String(axis) && c.scalar(range?.input(2)) === 1 ? c.scalar(range?.input(0)) : undefined;
  };
  return start(compare?.input(0), 0) === 0 && (start(compare?.input(1), 1) ?? -1) >= 0;
}
