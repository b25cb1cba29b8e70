/** Independent branches of one graph as parts that can run at the same time. */
import { cloneModel, inferShapes, type Model, type Node, PenjingError, type Value } from '@penjing/core';
import type { Part } from '../plan/plan.js';
import { readValues } from '../split/cut-blocks.js';
import { branchTree } from './branch-tree.js';
import { type Carried, carriedNodes } from './carried.js';
import { clusterNodes } from './clusters.js';
import { shareBranches } from './share-branches.js';

export interface FindBranchesOptions {
  /** Parts that may run at a time. */
  readonly devices: number;
  /** Seconds of a node. */
  readonly costOf: (node: Node) => number;
  /** Seconds to hand values on from one part to the next. */
  readonly hop: number;
}

/** A part and which of the devices it is meant for, from 0. */
export interface BranchPart extends Part {
  readonly device: number;
}

/** Of a hop: what takes less is no branch, and is rather computed twice than sent. */
const LIGHT = 0.25;
/** Parts of one layout: a call of a session each. */
const MOST_PARTS = 1024;

/**
 * Between a fork and a join, nodes that no path leads from one to the other: towers of a model with several, columns of an Inception block, members of an ensemble. They are shared out evenly where that
 * saves more than it costs to hand values on, forks inside of forks too. Parts stand in an order in which each finds its inputs; an empty list when no fork pays, and where what crosses has no known type.
 * What ONNX Runtime computes in one kernel is not taken apart: a convolution and the sum it is added to, queries, keys and values and their products. Takes time in proportion to the nodes.
 */
export function findBranches(model: Model, { devices, costOf, hop }: FindBranchesOptions): BranchPart[] {
  if (!Number.isSafeInteger(devices) || devices < 1) throw new PenjingError('E_OPTION', `${devices} is no number of devices`);
  const light = LIGHT * hop;
  const costs = new Map<Node, number>();
  for (const node of model.graph.nodes()) costs.set(node, costOf(node));
  const cost = (node: Node): number => costs.get(node)!;
  const carried = carriedNodes(model, cost, light);
  const clusters = clusterNodes(carried, cost, light);
  const groups = shareBranches(branchTree(clusters, light), devices, hop);
  if (groups.length < 2 || groups.length > MOST_PARTS) return [];
  const parts = partsOf(model, carried, groups.map(({ members }) => members.flatMap((member) => clusters[member]!.nodes)));
  return areTensors(model, parts) ? parts.map((part, i) => ({ ...part, device: groups[i]!.device })) : [];
}

function partsOf({ graph }: Model, { readsOf }: Carried, groups: readonly (readonly Node[])[]): Part[] {
  const home = new Map<Value, number>();
  groups.forEach((nodes, group) => nodes.forEach((node) => node.outputs.forEach((value) => home.set(value, group))));
  // Inputs and constants that the graph gives out are given by the last part.
  const through = graph.outputs.filter((value) => !home.has(value));
  const reads = groups.map((nodes, group) => new Set([...nodes.flatMap(readValues), ...(group === groups.length - 1 ? through : [])].flatMap(readsOf)));
  const wanted = new Set<Value>(graph.outputs);
  reads.forEach((values, group) => values.forEach((value) => home.has(value) && home.get(value) !== group && wanted.add(value)));
  return groups.map((nodes, group) => ({
    inputs: [...reads[group]!].filter((value) => home.get(value) !== group).map(({ name }) => name),
    outputs: [...nodes.flatMap(({ outputs }) => outputs.filter((value) => value.name !== '' && wanted.has(value))), ...(group === groups.length - 1 ? through : [])].map(({ name }) => name),
  }));
}

/** Whether all values between parts are tensors of a known type, as an engine must know them. */
function areTensors(model: Model, parts: readonly Part[]): boolean {
  const typed = cloneModel(model);
  inferShapes(typed);
  const names = new Set(parts.flatMap(({ inputs }) => inputs));
  for (const value of typed.graph.inputs) names.delete(value.name);
  for (const node of typed.graph.nodes()) {
    for (const { name, type } of node.outputs) if (type?.kind === 'tensor' && type.dtype !== undefined) names.delete(name);
  }
  return names.size === 0;
}
