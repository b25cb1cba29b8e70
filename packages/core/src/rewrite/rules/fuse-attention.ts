/**
 * softmax(scale · q · kᵀ + bias) · v becomes one operator: com.microsoft.MultiHeadAttention for `onnxruntime` fusions, Attention of
 * ai.onnx from opset 23 on otherwise, and where keys have fewer heads than queries.
 *
 * In ONNX Runtime 1.30 on a CPU the two are equally exact (1e-6 of the largest value), and neither is faster everywhere. CPU time of
 * one call in ms, spelled out / MultiHeadAttention / Attention, 12 heads of 64, one thread, ±15 % (the machine was busy):
 * 128 × 128 2.1 / 1.6 / 2.1; with bias 1.9 / 1.9 / 2.2; batch 8, 64 × 64, bias 4.9 / 7.1 / 3.5; 512 × 512 with bias 13.6 / 14.3 / 16.3,
 * without 14.1 / 15.9 / 13.7; 1 × 512 with bias 2.6 / 2.3 / 2.6; 2 × 16 × 16 × 4 heads of 8 0.18 / 0.16 / 0.14. So the choice is what loads where:
 * MultiHeadAttention at any opset in ONNX Runtime, Attention anywhere from opset 23 on. A row of which every key is -Infinity is
 * NaN in MultiHeadAttention, as in Softmax, but 0 in Attention, so Attention needs proof that there is none.
 */
import { attribute, type AttributeInput } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { sameDim } from '../../infer/dims.js';
import type { Dim } from '../../shape.js';
import { type AttentionParts, attentionParts } from '../attention-parts.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';
import { everyRowSees, fitBias, paddingOf } from '../score-bias.js';

const INT32 = 6;
const HEADS_INSIDE = [0, 2, 1, 3];

export const fuseAttention: Rule = {
  name: 'fuse-attention',
  phase: 'fuse',
  stores: true,
  ops: ['MatMul', 'Reshape'],
  apply(node, c) {
    const contrib = c.fusions === 'onnxruntime' && c.opsets.has('com.microsoft');
    if (c.fusions === 'none' || (!contrib && !c.has('Attention'))) return false;
    const parts = attentionParts(node, c);
    if (!parts) return false;
    return (contrib && parts.heads === parts.kvHeads && multiHead(parts, c)) || (c.has('Attention') && everyRowSees(parts.biases, c) && standard(parts, c));
  },
};

function multiHead(parts: AttentionParts, c: Rewriter): boolean {
  const { result, heads, scale, valueSize, size } = parts;
  const [q, k, v] = [flatOf(parts.q, undefined, c), flatOf(parts.k.value, parts.k.perm, c), flatOf(parts.v, undefined, c)];
  const join = joinOf(parts, c);
  // Keys and values go in flat, or both as heads.
  const flat = k !== undefined && v !== undefined;
  if (!flat && valueSize !== size) return false;
  const padding = paddingOf(parts, c);
  const bias = parts.biases.length > 0 && !padding ? fitBias(parts, c) : undefined;
  if (parts.biases.length > 0 && !padding && !bias) return false;
  const added = 1 + (q ? q.nodes : 2) + (flat ? k.nodes + v.nodes : parts.k.perm ? 1 : 0) + (bias?.nodes ?? 0) + (padding ? 1 : 0) + (join ? 0 : 2);
  const freed = parts.nodes + (join ? 2 : 0) + (q?.frees ?? 0) + (flat ? k.frees + v.frees : 0);
  if (added >= freed) return false;

  const at = join ?? result;
  const query = q ? q.insert(at) : merged(parts.q, heads * size, at, c);
  const [key, value] = flat ? [k.insert(at), v.insert(at)] : [keysFor(parts, at, c), parts.v];
  const mask = padding && c.insert(at, 'Cast', [padding.seen], { to: attribute.int(INT32) });
  const attributes = { num_heads: attribute.int(heads), scale: attribute.float(scale), ...(padding && { mask_filter_value: attribute.float(padding.fill) }) };
  const inputs = [query, key, value, null, mask, bias?.insert(at)];
  if (join) return c.become(join, 'MultiHeadAttention', inputs, attributes, 'com.microsoft');
  const apart = apartAgain(c.insert(at, 'MultiHeadAttention', inputs, attributes, 'com.microsoft'), heads, valueSize, at, c);
  return c.become(result, 'Transpose', [apart], { perm: attribute.ints(HEADS_INSIDE) });
}

function standard(parts: AttentionParts, c: Rewriter): boolean {
  const { result, heads, kvHeads } = parts;
  const bias = parts.biases.length > 0 ? fitBias(parts, c) : undefined;
  if (parts.biases.length > 0 && !bias) return false;
  const [q, k, v] = [flatOf(parts.q, undefined, c), flatOf(parts.k.value, parts.k.perm, c), flatOf(parts.v, undefined, c)];
  const join = joinOf(parts, c);
  const scale: Record<string, AttributeInput> = { scale: attribute.float(parts.scale) };
  if (q && k && v && join && q.nodes + k.nodes + v.nodes === 0) {
    if (1 + (bias?.nodes ?? 0) >= parts.nodes + 2) return false;
    const inputs = [q.insert(join), k.insert(join), v.insert(join), bias?.insert(join)];
    return c.become(join, 'Attention', inputs, { ...scale, q_num_heads: attribute.int(heads), kv_num_heads: attribute.int(kvHeads) });
  }
  if (1 + (bias?.nodes ?? 0) + (parts.k.perm ? 1 : 0) >= parts.nodes) return false;
  return c.become(result, 'Attention', [parts.q, keysFor(parts, result, c), parts.v, bias?.insert(result)], scale);
}

const keysFor = ({ k }: AttentionParts, before: Node, c: Rewriter): Value => (k.perm ? c.insert(before, 'Transpose', [k.value], { perm: attribute.ints(k.perm) }) : k.value);

interface Flat {
  /** Nodes that are inserted, and that nothing needs any more. */
  readonly nodes: number;
  readonly frees: number;
  /** (batch, length, heads · size). */
  readonly insert: (before: Node) => Value;
}

/**
 * A value (batch, heads, length, size), after `perm` if there is one, as it was before its heads were taken apart: from (batch, length, heads · size)
 * in front of Reshape and Transpose, or, as torch.nn.MultiheadAttention has it, from (length, batch, heads · size) in front of
 * Reshape to (length, batch · heads, size), Transpose and Reshape.
 */
function flatOf(value: Value, perm: readonly number[] | undefined, c: Rewriter): Flat | undefined {
  const shape = c.shape(value);
  if (shape?.length !== 4) return undefined;
  if (perm) return perm.join() === HEADS_INSIDE.join() ? batchFirst(value, c) : undefined;
  const transpose = c.producer(value, 'Transpose');
  if (transpose) return transpose.ints('perm')?.join() === HEADS_INSIDE.join() ? batchFirst(transpose.input(0)!, c) : undefined;
  const turn = c.producer(c.producer(value, 'Reshape')?.input(0), 'Transpose');
  const reshape = turn?.ints('perm')?.join() === '1,0,2' ? c.producer(turn.input(0), 'Reshape') : undefined;
  const [source, from, middle] = [reshape?.input(0), c.shape(reshape?.input(0)), c.shape(reshape?.output(0))];
  const [batch, heads, length, size] = shape as [Dim, Dim, Dim, Dim];
  const kept = from?.length === 3 && middle?.length === 3 && sameDim(from[0]!, length) && sameDim(from[1]!, batch) && sameDim(middle[0]!, length)
    && middle[2] === size && typeof heads === 'number' && typeof size === 'number' && from[2] === heads * size;
  return kept && source ? { nodes: 1, frees: privates([value, turn!.output(0), reshape!.output(0)], c), insert: (before) => c.insert(before, 'Transpose', [source], { perm: attribute.ints([1, 0, 2]) }) } : undefined;
}

/** Through the Reshape from (batch, length, heads · size) to (batch, length, heads, size). */
function batchFirst(value: Value, c: Rewriter): Flat | undefined {
  const reshape = c.producer(value, 'Reshape');
  const source = reshape?.input(0);
  const [from, to] = [c.shape(source), c.shape(value)];
  if (!source || from?.length !== 3 || to?.length !== 4 || typeof to[2] !== 'number' || typeof to[3] !== 'number' || from[2] !== to[2] * to[3]) return undefined;
  const kept = keepsFirst(reshape!, c) || (sameDim(from[0]!, to[0]!) && sameDim(from[1]!, to[1]!));
  return kept ? { nodes: 0, frees: privates([value], c), insert: () => source } : undefined;
}

/** How many values in a row, from the last computed on, only serve the next. */
function privates(values: readonly Value[], c: Rewriter): number {
  const end = values.findIndex((value) => !c.isPrivate(value));
  return end < 0 ? values.length : end;
}

/** The target shape begins with 0, so the first dimension stays, and by the count of elements the second does, too. */
const keepsFirst = (reshape: Node, c: Rewriter): boolean => reshape.int('allowzero', 0) === 0 && c.values(reshape.input(1))?.[0] === 0;

/** The Reshape that puts the heads of the result together, (batch, queries, heads · valueSize), and nothing else reads them apart. */
function joinOf({ result, batch, queries, heads, valueSize }: AttentionParts, c: Rewriter): Node | undefined {
  const transpose = c.onlyReader(result.output(0));
  if (transpose?.opType !== 'Transpose' || transpose.domain !== '' || transpose.ints('perm')?.join() !== HEADS_INSIDE.join()) return undefined;
  const reshape = c.onlyReader(transpose.output(0));
  if (reshape?.opType !== 'Reshape' || reshape.domain !== '') return undefined;
  const to = c.shape(reshape.output(0));
  if (to?.length !== 3 || to[2] !== heads * valueSize) return undefined;
  return keepsFirst(reshape, c) || (sameDim(to[0]!, batch) && sameDim(to[1]!, queries)) ? reshape : undefined;
}

function merged(value: Value, width: number, before: Node, c: Rewriter): Value {
  const turned = c.insert(before, 'Transpose', [value], { perm: attribute.ints(HEADS_INSIDE) });
  return c.insert(before, 'Reshape', [turned, c.addNumbers(before, 'int64', [0, 0, width], `${before.output(0).name}/width`)]);
}

const apartAgain = (value: Value, heads: number, size: number, before: Node, c: Rewriter): Value =>
  c.insert(before, 'Reshape', [value, c.addNumbers(before, 'int64', [0, 0, heads, size], `${before.output(0).name}/heads`)]);
