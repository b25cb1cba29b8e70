/**
 * A model as a chain of blocks: cuts where one activation is live. The same cuts serve calibration block
 * by block, evaluation of models larger than memory, pipeline stages and layer dropping.
 */
import { dtypes } from '../dtype.js';
import type { Graph } from './graph.js';
import type { Model } from './model.js';
import type { Node } from './node.js';
import { capturedValues } from './traverse.js';
import type { Value } from './value.js';

export interface Block {
  /** Consecutive nodes of the main graph. */
  readonly nodes: readonly Node[];
  /** Values computed by earlier blocks (or graph inputs) that this block reads. */
  readonly inputs: readonly Value[];
  /** Values of this block that later blocks or the graph's outputs read. */
  readonly outputs: readonly Value[];
  /** The activations among the outputs: one, except for the last block. */
  readonly activations: readonly Value[];
  /** Initializers that this block reads. */
  readonly weights: readonly Value[];
}

/**
 * Cuts the main graph wherever a single activation is live between two weighted nodes. Only values that depend on a
 * weight matrix count: positions, masks and rotary tables are context that every block may read, cheap to carry or
 * to compute again. Integer and boolean values do not count either. Nodes keep their order, so the concatenation of
 * the blocks is the graph.
 */
export function blocks(model: Model): Block[] {
  const { graph } = model;
  const nodes = [...graph.nodes()];
  const weights = weightValues(nodes);
  const { live, activations, lastRead } = liveActivations(nodes, weights);
  const makeBlock = (from: number, to: number): Block => {
    const made = nodes.slice(from, to);
    return blockOf(graph, made, activations, (value) => (lastRead.get(value) ?? -1) >= to);
  };
  const weighted = nodes.map((node) => !weights.has(node.outputs[0]!) && readValues(node).some((value) => weights.has(value)));
  const last = weighted.lastIndexOf(true);
  const result: Block[] = [];
  let start = 0;
  let cut: number | undefined;
  let hasWeight = false;
  for (let i = 0; i <= last; i++) {
    // Between two weighted nodes the last narrow place is taken, so that a layer keeps its residual sum.
    if (weighted[i] && cut !== undefined) {
      result.push(makeBlock(start, cut + 1));
      start = cut + 1;
      cut = undefined;
    }
    hasWeight ||= weighted[i]!;
    if (hasWeight && live[i] === 1) cut = i;
  }
  result.push(makeBlock(start, nodes.length));
  return result;
}

interface Liveness {
  /** live[i]: how many activations computed by nodes 0..i the nodes after i read. */
  readonly live: number[];
  readonly activations: ReadonlySet<Value>;
  /** Index of the last node that reads a value, itself or in a subgraph. */
  readonly lastRead: ReadonlyMap<Value, number>;
}

function liveActivations(nodes: readonly Node[], weights: ReadonlySet<Value>): Liveness {
  const position = new Map(nodes.map((node, i) => [node, i]));
  const activations = new Set<Value>();
  const lastRead = new Map<Value, number>();
  nodes.forEach((node, i) => {
    const read = readValues(node);
    for (const value of read) lastRead.set(value, i);
    if (weights.has(node.outputs[0]!) || !read.some((value) => weights.has(value) || activations.has(value))) return;
    for (const value of node.outputs) if (isFloat(value)) activations.add(value);
  });
  const change = new Array<number>(nodes.length + 1).fill(0);
  for (const value of activations) {
    const begin = position.get(value.producer!)!;
    const end = lastRead.get(value) ?? begin;
    if (end <= begin) continue;
    change[begin]!++;
    change[end]!--;
  }
  let count = 0;
  return { live: nodes.map((_, i) => (count += change[i]!)), activations, lastRead };
}

/** What a node reads, through its subgraphs too. */
function readValues(node: Node): Value[] {
  const values = node.inputs.filter((value) => value !== null);
  for (const inner of node.subgraphs()) values.push(...capturedValues(inner));
  return values;
}

/** Matrices and larger, also cast, reshaped or turned on the way; scalars and vectors (epsilons, norms) ride along. */
function weightValues(nodes: readonly Node[]): Set<Value> {
  const weights = new Set<Value>();
  const constants = new Set<Value>();
  for (const node of nodes) {
    const read = readValues(node);
    for (const value of read) {
      if (!value.tensor || value.producer) continue;
      constants.add(value);
      if (value.tensor.shape.length >= 2) weights.add(value);
    }
    if (!read.every((value) => constants.has(value))) continue;
    for (const value of node.outputs) {
      constants.add(value);
      if (read.some((input) => weights.has(input))) weights.add(value);
    }
  }
  return weights;
}

function isFloat(value: Value): boolean {
  const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
  return dtype === undefined || dtypes[dtype].kind === 'float' || dtypes[dtype].kind === 'complex';
}

function blockOf(graph: Graph, nodes: readonly Node[], activations: ReadonlySet<Value>, readLater: (value: Value) => boolean): Block {
  const made = new Set(nodes.flatMap((node) => [...node.outputs]));
  const read = new Set(nodes.flatMap(readValues));
  const outputs = [...made].filter((value) => value.name !== '' && (graph.outputs.includes(value) || readLater(value)));
  const last = !outputs.some((value) => activations.has(value) && readLater(value));
  return {
    nodes,
    inputs: [...read].filter((value) => !made.has(value) && value.tensor === undefined),
    outputs,
    activations: outputs.filter((value) => activations.has(value) && (last || readLater(value))),
    weights: [...read].filter((value) => value.tensor !== undefined),
  };
}
