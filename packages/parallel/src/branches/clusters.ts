/** Nodes that are not worth taking apart, or must not be, as the nodes of a smaller graph without cycles. */
import type { Node, Value } from '@penjing/core';
import { readValues } from '../split/cut-blocks.js';
import type { Carried } from './carried.js';

export interface Cluster {
  readonly nodes: readonly Node[];
  readonly cost: number;
  /** Places of clusters whose values it reads, and of those that read its values; all in a list in which each stands behind what it reads. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Merging ends by itself after a few rounds; on graphs made to resist it, it ends here. */
const MOST_ROUNDS = 16;

/** `light`: seconds below which a cluster joins the only one that it reads or is read by. */
export function clusterNodes({ owned, readsOf }: Carried, costOf: (node: Node) => number, light: number): Cluster[] {
  const place = new Map(owned.map((node, i) => [node, i]));
  const groups = new Groups(owned.length);
  const edges: (readonly [from: number, to: number])[] = [];
  owned.forEach((node, to) => {
    for (const value of new Set(readValues(node).flatMap(readsOf))) {
      const from = value.producer && place.get(value.producer);
      if (from !== undefined && from !== to) edges.push([from, to]);
    }
  });
  for (const [node, reader] of fusedPairs(owned)) groups.join(place.get(reader)!, place.get(node)!);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const before = groups.count;
    // An edge that is the only one into a cluster, or the only one out of it, can be contracted: no other way leads around it. Not both at once, hence the turns.
    const down = borders(groups, edges, owned, costOf);
    for (const [to, { cost, reads }] of down) {
      const [only, ...more] = reads;
      if (only !== undefined && more.length === 0 && (cost <= light || down.get(only)!.readers.size === 1)) groups.join(only, to);
    }
    const up = borders(groups, edges, owned, costOf);
    for (const [from, { cost, readers }] of up) {
      const [only, ...more] = readers;
      if (only !== undefined && more.length === 0 && cost <= light) groups.join(only, from);
    }
    if (groups.count === before) break;
  }
  return inOrder(groups, edges, owned, costOf);
}

/** What a product of activations or a sum reads through these, ONNX Runtime may compute in one kernel with it, and other rounding. */
const THROUGH: ReadonlySet<string> = new Set(['Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Identity', 'Add', 'Mul', 'Div', 'BatchNormalization']);
const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Gemm', 'Conv', 'Einsum']);

/** Pairs that stay together: a convolution and the sum it is added to, what makes queries, keys and values and the products of them. */
function* fusedPairs(owned: readonly Node[]): Generator<readonly [node: Node, reader: Node], void, undefined> {
  const known = new Set(owned);
  for (const root of owned) {
    const isProduct = root.opType === 'MatMul' && root.inputs.filter((value) => value && known.has(value.producer!)).length === 2;
    const kinds = isProduct ? PRODUCTS : root.opType === 'Add' ? CONVOLUTIONS : undefined;
    if (!kinds) continue;
    for (const value of root.inputs) yield* chainTo(value, root, kinds, known);
  }
}

const CONVOLUTIONS: ReadonlySet<string> = new Set(['Conv']);

/** Back from a reader to the nearest node of some kinds, each with one reader; nothing when there is none. */
function chainTo(value: Value | null, root: Node, kinds: ReadonlySet<string>, known: ReadonlySet<Node>): (readonly [Node, Node])[] {
  const pairs: (readonly [Node, Node])[] = [];
  let reader = root;
  for (let at = value; at?.producer && known.has(at.producer) && at.useCount === 1; ) {
    const node: Node = at.producer;
    if (node.outputs.length > 1) return [];
    pairs.push([node, reader]);
    if (kinds.has(node.opType)) return pairs;
    const inner = node.inputs.filter((input) => input && known.has(input.producer!));
    if (!THROUGH.has(node.opType) || inner.length !== 1) return [];
    reader = node;
    at = inner[0]!;
  }
  return [];
}

interface Border {
  cost: number;
  readonly reads: Set<number>;
  readonly readers: Set<number>;
}

function borders(groups: Groups, edges: readonly (readonly [number, number])[], owned: readonly Node[], costOf: (node: Node) => number): ReadonlyMap<number, Border> {
  const found = new Map<number, Border>();
  owned.forEach((node, i) => {
    const group = groups.of(i);
    const border = found.get(group) ?? { cost: 0, reads: new Set(), readers: new Set() };
    border.cost += costOf(node);
    found.set(group, border);
  });
  for (const [a, b] of edges) {
    const [from, to] = [groups.of(a), groups.of(b)];
    if (from === to) continue;
    found.get(to)!.reads.add(from);
    found.get(from)!.readers.add(to);
  }
  return found;
}

/** Kahn's order, those that are free first in the order of the graph. */
function inOrder(groups: Groups, edges: readonly (readonly [number, number])[], owned: readonly Node[], costOf: (node: Node) => number): Cluster[] {
  const found = borders(groups, edges, owned, costOf);
  const members = new Map<number, Node[]>([...found.keys()].map((group) => [group, []]));
  owned.forEach((node, i) => members.get(groups.of(i))!.push(node));
  const open = new Map([...found].map(([group, { reads }]) => [group, reads.size]));
  const order = [...found.keys()].filter((group) => open.get(group) === 0);
  for (const group of order) {
    for (const reader of found.get(group)!.readers) {
      const left = open.get(reader)! - 1;
      open.set(reader, left);
      if (left === 0) order.push(reader);
    }
  }
  const places = new Map(order.map((group, i) => [group, i]));
  const placesOf = (all: ReadonlySet<number>): number[] => [...all].map((group) => places.get(group)!);
  return order.map((group) => {
    const { cost, reads, readers } = found.get(group)!;
    return { nodes: members.get(group)!, cost, before: placesOf(reads), after: placesOf(readers) };
  });
}

/** Union-find over places in a list. */
export class Groups {
  readonly #parents: number[];
  count: number;

  constructor(size: number) {
    this.#parents = Array.from({ length: size }, (_, i) => i);
    this.count = size;
  }

  of(item: number): number {
    let root = item;
    while (this.#parents[root] !== root) root = this.#parents[root]!;
    for (let at = item; at !== root; ) [at, this.#parents[at]] = [this.#parents[at]!, root];
    return root;
  }

  join(a: number, b: number): void {
    const [x, y] = [this.of(a), this.of(b)];
    if (x === y) return;
    this.#parents[y] = x;
    this.count--;
  }
}
