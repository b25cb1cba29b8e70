/** Which axes are cut: greedily those that save most weights per value that then has to cross between shards. */
import { elementCount, type Node, type Tensor, type Value } from '@penjing/core';
import { type AxisLayout, axisLayout } from './axis-layout.js';
import { type AxisKey, type AxisNames, type Component, findComponents, inputPath, isSlot, type WayUse } from './components.js';
import type { GraphFacts } from './graph-facts.js';

/** A component that is cut, and how. */
export interface ChosenCut {
  readonly layout: AxisLayout;
  /** The way that each of its nodes goes. */
  readonly nodes: ReadonlyMap<Node, WayUse>;
  /** The ways of nodes that compute constants, by the path of their use. */
  readonly constants: ReadonlyMap<string, WayUse>;
  readonly weights: readonly { readonly name: string; readonly bytes: number }[];
  readonly collectives: number;
}

/** What exchanges move beside each other: for a sum all shards give all of a value, to join it only their part, and an output goes to the caller anyway. */
const prices = { reduction: 1, gather: 0.75, output: 0.1 } as const;

interface Candidate extends ChosenCut {
  readonly component: Component;
  /** Bytes that a shard does not hold, per collective. */
  readonly worth: number;
  /** Decides between those that are worth the same. */
  readonly price: number;
}

export interface ChooseOptions {
  /** Bytes of weights that a collective must save a shard. */
  readonly threshold: number;
  /** Nodes that are not to be cut. */
  readonly taken: ReadonlySet<Node>;
}

export function chooseCuts(facts: GraphFacts, names: AxisNames, { threshold, taken: given }: ChooseOptions): ChosenCut[] {
  const taken = new Set(given);
  const weigh = (component: Component): Candidate | undefined => {
    const found = evaluate(facts, names, component, taken);
    return found && found.worth > 0 && found.worth >= threshold ? found : undefined;
  };
  const candidates = findComponents(facts, names).map(weigh).filter((found) => found !== undefined);
  const chosen: ChosenCut[] = [];
  // worth only falls as nodes are taken, so the best one that is still worth what it was is the best
  const order = (): unknown => candidates.sort((a, b) => a.worth - b.worth || b.price - a.price);
  order();
  for (let best = candidates.pop(); best; best = candidates.pop()) {
    const now = [...best.nodes.keys()].some((node) => taken.has(node)) ? weigh(best.component) : best;
    if (!now) continue;
    if (now.worth < (candidates.at(-1)?.worth ?? 0)) {
      candidates.push(now);
      order();
      continue;
    }
    for (const node of now.nodes.keys()) taken.add(node);
    chosen.push(now);
  }
  return chosen;
}

/** Follows a component through the graph. */
function evaluate(facts: GraphFacts, names: AxisNames, component: Component, taken: ReadonlySet<Node>): Candidate | undefined {
  const nodes = new Map<Node, WayUse>();
  const constants = new Map<string, WayUse>();
  const cut = new Map<Value, number>();
  const sums = new Set<Value>();
  const weights = new Map<Value, { name: string; bytes: number }>();

  for (const use of component.uses) {
    const { node, way } = use;
    if (taken.has(node) || nodes.has(node)) continue;
    const slots = way.inputs.flatMap((place, i) => (isSlot(place) ? [{ place, index: i, value: node.inputs[i]! }] : []));
    const follows = slots.some(({ place, value }) => cut.get(value) === place.axis);
    const begins = way.weight !== undefined && isSlot(way.inputs[way.weight]) && facts.constant.has(node.inputs[way.weight]!);
    if (!follows && !begins) continue;
    const leaves: CutLeaf[] = [];
    const within = new Map<string, WayUse>();
    if (!slots.every(({ index, value }) => !facts.constant.has(value) || cutConstant(facts, names, component, { value, path: inputPath(use.path, index), key: use.inputs[index]! }, within, leaves))) continue;
    nodes.set(node, use);
    for (const [path, inner] of within) constants.set(path, inner);
    for (const { value, tensor } of leaves) weights.set(value, { name: value.name, bytes: tensor.byteLength });
    way.outputs.forEach((place, i) => {
      if (isSlot(place)) cut.set(node.outputs[i]!, place.axis);
      else if (place === 'partial') sums.add(node.outputs[i]!);
    });
  }
  if (nodes.size === 0) return undefined;
  const layout = axisLayout([...nodes.values(), ...constants.values()], facts.shards);
  if (!layout) return undefined;

  const gathers = [...cut].filter(([value, axis]) => value.uses().some(({ node, index }) => {
    const place = nodes.get(node)?.way.inputs[index];
    return !isSlot(place) || place.axis !== axis;
  })).length;
  const reductions = countReductions(facts, sums);
  const parts = facts.model.graph.outputs.filter((value) => cut.has(value)).length;
  const price = prices.reduction * reductions + prices.gather * gathers + prices.output * parts;
  const bytes = [...weights.values()].reduce((sum, weight) => sum + weight.bytes, 0);
  return { component, layout, nodes, constants, weights: [...weights.values()], collectives: reductions + gathers, price, worth: (bytes * (1 - 1 / facts.shards)) / Math.max(1, reductions + gathers) };
}

interface CutLeaf {
  readonly value: Value;
  readonly tensor: Tensor;
}

/** Finds how a constant is cut: a stored tensor anywhere, a computed one through the nodes that compute it. */
function cutConstant(facts: GraphFacts, names: AxisNames, component: Component, { value, path, key }: { readonly value: Value; readonly path: string; readonly key: AxisKey }, within: Map<string, WayUse>, leaves: CutLeaf[]): boolean {
  if (value.tensor) {
    if (value.tensor.kind !== 'dense' && value.tensor.kind !== 'lazy') return false;
    // what is small, as biases are, counts little and is not named
    if (elementCount(value.tensor.shape) > 0) leaves.push({ value, tensor: value.tensor });
    return true;
  }
  const output = value.producer?.outputs.indexOf(value) ?? -1;
  const found = component.constants.get(path)?.find((use) => use.outputs[output] === key && use.way.inputs.every((place, i) => {
    const input = use.node.inputs[i];
    return !isSlot(place) || cutConstant(facts, names, component, { value: input!, path: inputPath(path, i), key: use.inputs[i]! }, within, leaves);
  }));
  if (!found) return false;
  within.set(path, found);
  return true;
}

/** Sums that have to be made: terms that are only added, moved or scaled before are one. */
function countReductions(facts: GraphFacts, terms: ReadonlySet<Value>): number {
  const sums = new Set(terms);
  let count = 0;
  for (const sum of sums) {
    if (mustBeSummed(facts, sum, () => false)) count++;
    else for (const { node } of sum.uses()) sums.add(node.output());
  }
  return count;
}

/** Something looks at the value itself, and not only adds it to something. */
export function mustBeSummed(facts: GraphFacts, value: Value, isCut: (node: Node) => boolean): boolean {
  if (facts.model.graph.outputs.includes(value)) return true;
  return value.uses().some(({ node, index }) => isCut(node) || !facts.order.has(node) || !facts.ways(node).some((way) => way.inputs[index] === 'partial'));
}
