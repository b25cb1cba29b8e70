/**
 * A model as a chain of blocks: cuts where the fewest activations are live. The same cuts serve calibration block
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
  /** Initializers that this block reads. */
  readonly weights: readonly Value[];
}

/**
 * Cuts the main graph at every place where as few activations are live as at the narrowest place between two
 * weighted nodes. Integer and boolean values (shapes, masks, indices) are not counted: they are cheap to carry.
 * Nodes keep their order, so the concatenation of the blocks is the graph.
 */
export function blocks(model: Model): Block[] {
  const { graph } = model;
  const nodes = [...graph.nodes()];
  const live = liveCounts(graph, nodes);
  const weighted = nodes.map((node) => readValues(node).some(isWeight));
  const first = weighted.indexOf(true);
  const last = weighted.lastIndexOf(true);
  if (first === -1 || first === last) return [makeBlock(graph, nodes)];

  let narrowest = Infinity;
  for (let i = first; i < last; i++) narrowest = Math.min(narrowest, live[i]!);
  const result: Block[] = [];
  let start = 0;
  let hasWeight = false;
  for (let i = 0; i < last; i++) {
    hasWeight ||= weighted[i]!;
    if (!hasWeight || live[i]! > narrowest) continue;
    // In a run of equally narrow places without weights between them, the last one keeps blocks whole.
    const next = nextCut(live, weighted, i, last, narrowest);
    if (next !== undefined) continue;
    result.push(makeBlock(graph, nodes.slice(start, i + 1)));
    start = i + 1;
    hasWeight = false;
  }
  result.push(makeBlock(graph, nodes.slice(start)));
  return result;
}

/** A later place that is as narrow and is reached without passing a weighted node. */
function nextCut(
  live: readonly number[],
  weighted: readonly boolean[],
  from: number,
  end: number,
  narrowest: number,
): number | undefined {
  for (let i = from + 1; i < end && !weighted[i]; i++) if (live[i]! <= narrowest) return i;
  return undefined;
}

/** live[i]: float values computed by nodes 0..i that nodes after i read. */
function liveCounts(graph: Graph, nodes: readonly Node[]): number[] {
  const position = new Map(nodes.map((node, i) => [node, i]));
  const change = new Array<number>(nodes.length + 1).fill(0);
  const lastRead = new Map<Value, number>();
  nodes.forEach((node, i) => {
    for (const value of readValues(node)) lastRead.set(value, i);
  });
  for (const [value, end] of lastRead) {
    const begin = value.producer && position.get(value.producer);
    if (begin === undefined || begin >= end || !isActivation(value)) continue;
    change[begin]!++;
    change[end]!--;
  }
  let count = 0;
  return nodes.map((_, i) => (count += change[i]!));
}

/** What a node reads, through its subgraphs too. */
function readValues(node: Node): Value[] {
  const values = node.inputs.filter((value) => value !== null);
  for (const inner of node.subgraphs()) values.push(...capturedValues(inner));
  return values;
}

/** Weights worth a block: matrices and larger. Scalars and vectors (epsilons, norms) ride along. */
function isWeight(value: Value): boolean {
  return value.tensor !== undefined && !value.producer && value.tensor.shape.length >= 2;
}

function isActivation(value: Value): boolean {
  const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
  return dtype === undefined || dtypes[dtype].kind === 'float' || dtypes[dtype].kind === 'complex';
}

function makeBlock(graph: Graph, nodes: readonly Node[]): Block {
  const made = new Set(nodes.flatMap((node) => [...node.outputs]));
  const members = new Set(nodes);
  const read = new Set(nodes.flatMap(readValues));
  const usedOutside = (value: Value): boolean =>
    graph.outputs.includes(value) || value.uses().some(({ node }) => !members.has(topLevel(node, graph)));
  return {
    nodes,
    inputs: [...read].filter((value) => !made.has(value) && value.tensor === undefined),
    outputs: [...made].filter((value) => value.name !== '' && usedOutside(value)),
    weights: [...read].filter((value) => value.tensor !== undefined),
  };
}

/** The node of the main graph that is, or contains, a node; found through the values the outer node captures. */
function topLevel(node: Node, graph: Graph): Node {
  if (node.graph === graph) return node;
  for (const outer of graph.nodes()) {
    if (outer.subgraphs().length > 0 && contains(outer, node)) return outer;
  }
  return node;
}

function contains(outer: Node, inner: Node): boolean {
  return outer.subgraphs().some((graph) => {
    for (const node of graph.nodes()) if (node === inner || contains(node, inner)) return true;
    return false;
  });
}
