/** Causal attention in blocks of queries, each of which meets only the keys that it may see. */
import { inferShapes, type Model, type Node, type Value } from '@penjing/core';
import { removeDead } from '@penjing/core/rewrite';
import { dimsOf, GradientOps } from '../gradient/ops.js';

/** Fewer queries in a block cost more in products of small matrices than they save. */
const SMALLEST_BLOCK = 64;
const MOST_BLOCKS = 8;

/** Scores below it have no share. */
const HIDDEN = -1e9;

/**
 * Lets queries of the first blocks leave out the keys behind them, whose shares are 0 anyway: with n blocks (n − 1) / 2n of scores, softmax and their gradients are not computed (as in Dao 2023, arXiv:2307.08691,
 * §3.1). For graphs that `makeTrainable` made, once sizes are known; attention of other forms, without a causal mask, or of fewer than 128 queries, stays. Edits the model in place; gives the number of attentions that were cut.
 */
export function causalBlocks(model: Model, most = MOST_BLOCKS): number {
  inferShapes(model);
  const ops = new GradientOps(model);
  const found = [...model.graph.nodes()].flatMap((node) => attentionOf(node, ops) ?? []);
  const biases = new Map<Value, readonly Value[]>();
  for (const attention of found) cut(attention, model, ops, most, biases);
  removeDead(model);
  return found.length;
}

interface Attention {
  /** (batch, heads, seq, size), or (batch, kvHeads, group · seq, size) of it. */
  readonly query: Value;
  /** (batch, kvHeads, seq, size) each. */
  readonly key: Value;
  readonly value: Value;
  /** Nodes on one value and constants, from the product to the sum with the bias, without reshapes. */
  readonly between: readonly Node[];
  readonly bias: Value;
  /** (batch, heads, seq, valueSize). */
  readonly mixed: Value;
  readonly sizes: { readonly batch: number; readonly heads: number; readonly kvHeads: number; readonly length: number };
}

/** The attention whose softmax a node is. */
function attentionOf(softmax: Node, ops: GradientOps): Attention | undefined {
  if (!as(softmax, 'Softmax') || softmax.int('axis', -1) !== -1) return undefined;
  const [batch, heads, length, keys] = numbers(softmax.output()) ?? [];
  if (batch === undefined || heads === undefined || length === undefined || keys !== length || length < 2 * SMALLEST_BLOCK) return undefined;
  const sum = only(softmax.input(0), 'Add');
  const side = sum ? [0, 1].find((index) => isCausal(sum.input(index)!, ops)) : undefined;
  if (!sum || side === undefined || numbers(sum.input(side)!)?.slice(-2).join() !== [length, length].join()) return undefined;
  const between: Node[] = [];
  let scores = sum.input(1 - side)!;
  for (;;) {
    const node = scores.useCount === 1 ? scores.producer : undefined;
    if (as(node, 'Tanh') || (as(node, 'Mul') && isScalar(node!.input(1)))) between.unshift(node!);
    else if (!as(node, 'Reshape')) break;
    scores = node!.input(0)!;
  }
  const product = only(scores, 'MatMul');
  const turned = as(product?.input(1)?.producer, 'Transpose');
  const shares = as(readerOf(softmax.output()), 'Reshape')?.output() ?? softmax.output();
  const mixing = as(readerOf(shares), 'MatMul');
  if (!product || turned?.ints('perm')?.join() !== '0,1,3,2' || mixing?.input(0) !== shares) return undefined;
  const [key, value] = [turned.input(0)!, mixing.input(1)!];
  const kvHeads = numbers(key)?.[1];
  if (kvHeads === undefined || !sized(key, [batch, kvHeads, length]) || !sized(value, [batch, kvHeads, length]) || numbers(product.input(0)!)?.length !== 4) return undefined;
  const mixed = heads === kvHeads ? mixing.output() : as(readerOf(mixing.output()), 'Reshape')?.output();
  if (!mixed || !sized(mixed, [batch, heads, length])) return undefined;
  return { query: product.input(0)!, key, value, between, bias: sum.input(side)!, mixed, sizes: { batch, heads, kvHeads, length } };
}

/** A bias that hides every key behind its query: `visible` in attend.ts makes them, and others may be added. */
function isCausal({ producer }: Value, ops: GradientOps): boolean {
  if (as(producer, 'Add')) return producer!.inputs.some((value) => isCausal(value!, ops));
  const where = as(producer, 'Where');
  return where !== undefined && (ops.knownNumbers(where.input(2)!)?.[0] ?? 0) <= HIDDEN && looksBack(where.input(0)!, ops);
}

/** Whether a condition, (…, queries, keys), holds at most where the place of the key is up to that of the query. */
function looksBack({ producer }: Value, ops: GradientOps): boolean {
  if (as(producer, 'And')) return producer!.inputs.some((value) => looksBack(value!, ops));
  const compared = as(producer, 'LessOrEqual');
  const rows = as(compared?.input(1)?.producer, 'Unsqueeze');
  return rows !== undefined && ops.knownInts(rows.input(1)!)?.join() === '1' && isRange(rows.input(0)!, ops) && isRange(compared!.input(0)!, ops);
}

/** 0, 1, 2, … */
function isRange({ producer }: Value, ops: GradientOps): boolean {
  const range = as(producer, 'Range');
  return range !== undefined && ops.knownInts(range.input(0)!)?.join() === '0' && ops.knownInts(range.input(2)!)?.join() === '1';
}

function cut({ query, key, value, between, bias, mixed, sizes: { batch, heads, kvHeads, length } }: Attention, model: Model, ops: GradientOps, most: number, cutBiases: Map<Value, readonly Value[]>): void {
  const blocks = Math.min(most, Math.floor(length / SMALLEST_BLOCK));
  const ends = Array.from({ length: blocks }, (_, i) => Math.round(((i + 1) * length) / blocks));
  const rows = ends.map((end, i) => end - (ends[i - 1] ?? 0));
  const reshape = (x: Value, shape: readonly number[]): Value => (numbers(x)?.join() === shape.join() ? x : ops.op('Reshape', [x, ops.ints(shape)]));
  const first = (x: Value, end: number): Value => (end === length ? x : ops.op('Slice', [x, ops.ints([0]), ops.ints([end]), ops.ints([2])]));
  const anchor = mixed.producer!;
  const joined = ops.before(anchor, () => ops.scope('blocks', () => {
    const apart = reshape(query, [batch, heads, length, numbers(query)![3]!]);
    const queries = ops.nodes('Split', [apart, ops.ints(rows)], { axis: 2 }, { outputCount: blocks });
    const biases = cutBiases.get(bias) ?? biasBlocks(ops, bias, ends);
    cutBiases.set(bias, biases);
    const parts = ends.map((end, i) => {
      const stacked = reshape(queries[i]!, [batch, kvHeads, (heads / kvHeads) * rows[i]!, numbers(query)![3]!]);
      const products = ops.matmul(stacked, ops.transpose(first(key, end), [0, 1, 3, 2]));
      const scores = between.reduce((x, node) => ops.op(node.opType, [x, ...node.inputs.slice(1)], Object.fromEntries(node.attributes)), reshape(products, [batch, heads, rows[i]!, end]));
      const shares = ops.op('Softmax', [ops.add(scores, biases[i]!)], { axis: -1 });
      const mixture = ops.matmul(reshape(shares, [batch, kvHeads, (heads / kvHeads) * rows[i]!, end]), first(value, end));
      return reshape(mixture, [batch, heads, rows[i]!, numbers(value)![3]!]);
    });
    return ops.op('Concat', parts, { axis: 2 });
  }));
  model.graph.replaceValue(mixed, joined);
}

/** Rows of each block and the columns that they see; layers share them. */
function biasBlocks(ops: GradientOps, bias: Value, ends: readonly number[]): Value[] {
  const rank = numbers(bias)!.length;
  return ends.map((end, i) => ops.op('Slice', [bias, ops.ints([ends[i - 1] ?? 0, 0]), ops.ints([end, end]), ops.ints([rank - 2, rank - 1])]));
}

/** The node itself, when it is this operator. */
const as = (node: Node | undefined, opType: string): Node | undefined => (node?.opType === opType && node.domain === '' ? node : undefined);
const isScalar = (value: Value | undefined): boolean => value?.tensor !== undefined && numbers(value)?.every((size) => size === 1) === true;

/** The node of this operator that makes a value which nothing else reads. */
const only = (value: Value | undefined, opType: string): Node | undefined => (value?.useCount === 1 ? as(value.producer, opType) : undefined);
const readerOf = (value: Value): Node | undefined => (value.useCount === 1 ? [...value.uses()][0]!.node : undefined);

/** The shape of a value, when all of it is known. */
function numbers(value: Value): readonly number[] | undefined {
  const dims = dimsOf(value);
  return dims?.every((dim): dim is number => typeof dim === 'number') ? dims : undefined;
}

const sized = (value: Value, leading: readonly number[]): boolean => numbers(value)?.length === 4 && numbers(value)!.slice(0, 3).join() === leading.join();
