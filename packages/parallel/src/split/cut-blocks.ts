/** The blocks of a model as pieces that can move to another device: what follows from weights alone stays with its readers. */
import { type Block, blocks, capturedValues, type Model, type Node, type Value } from '@penjing/core';
import type { Part } from '../plan/plan.js';

/** Consecutive nodes of the main graph between two places where a pipeline can be cut. */
export interface CutBlock {
  /** Without those that compute constants from weights: such nodes belong to every block that reads them. */
  readonly nodes: readonly Node[];
  /** Inputs of the graph and values computed by earlier blocks that this block reads. */
  readonly inputs: readonly Value[];
  /** Values of this block that later blocks or the outputs of the graph read. */
  readonly outputs: readonly Value[];
  /** Initializers that the block reads, also through nodes that compute constants. */
  readonly weights: readonly Value[];
}

/** Two calls give different numbers, so a copy in another stage would not be the same value. */
export const DRAWS: ReadonlySet<string> = new Set(['RandomNormal', 'RandomUniform', 'RandomNormalLike', 'RandomUniformLike', 'Multinomial', 'Bernoulli']);

export function cutBlocks(model: Model): CutBlock[] {
  const { graph } = model;
  const constants = constantValues(model);
  const found = blocks(model);
  const home = new Map<Value, number>();
  const lastRead = new Map<Value, number>();
  found.forEach(({ nodes }, index) => {
    for (const node of nodes) {
      for (const value of readValues(node)) lastRead.set(value, index);
      for (const value of node.outputs) home.set(value, index);
    }
  });
  // What the graph gives out and no block computes is given by the last stage: inputs and weights that are outputs too.
  const last = found.length - 1;
  return found.map(({ nodes }: Block, index): CutBlock => {
    const own = nodes.filter((node) => !isConstant(node, constants));
    const read = [...new Set(own.flatMap(readValues))];
    const through = index === last ? graph.outputs.filter((value) => !value.producer || constants.has(value)) : [];
    return {
      nodes: own,
      inputs: [...new Set([...read, ...through])].filter((value) => home.get(value) !== index && value.tensor === undefined && !constants.has(value)),
      outputs: [
        ...own.flatMap(({ outputs }) => outputs.filter((value) => value.name !== '' && (graph.outputs.includes(value) || (lastRead.get(value) ?? -1) > index))),
        ...through,
      ],
      weights: weightsBehind([...read, ...through], constants),
    };
  });
}

/** Blocks `from` up to `to` as one part of the graph. */
export function joinBlocks(all: readonly CutBlock[], from: number, to: number): Part {
  const joined = all.slice(from, to);
  const made = new Set(joined.flatMap(({ outputs }) => outputs));
  const readLater = new Set(all.slice(to).flatMap(({ inputs }) => inputs));
  const givenOut = all[all.length - 1]!.nodes[0]?.graph?.outputs ?? [];
  const inputs = new Set(joined.flatMap((block) => block.inputs).filter((value) => !made.has(value) || !value.producer));
  const outputs = [...made].filter((value) => readLater.has(value) || givenOut.includes(value));
  return { inputs: [...inputs].map(({ name }) => name), outputs: outputs.map(({ name }) => name) };
}

/** What a node reads, through its subgraphs too. */
export function readValues(node: Node): Value[] {
  return [...node.inputs.filter((value) => value !== null), ...node.subgraphs().flatMap((inner) => [...capturedValues(inner)])].filter(({ name }) => name !== '');
}

/** Values of the main graph that weights alone determine. An initializer that is an input too is only a default. */
export function constantValues({ graph }: Model): ReadonlySet<Value> {
  const constants = new Set<Value>();
  for (const value of graph.initializers.values()) if (!graph.inputs.includes(value)) constants.add(value);
  for (const node of graph.nodes()) {
    if (DRAWS.has(node.opType) || !readValues(node).every((value) => constants.has(value))) continue;
    for (const value of node.outputs) constants.add(value);
  }
  return constants;
}

function isConstant(node: Node, constants: ReadonlySet<Value>): boolean {
  return node.outputs.every((value) => constants.has(value));
}

function weightsBehind(read: readonly Value[], constants: ReadonlySet<Value>): Value[] {
  const weights = new Set<Value>();
  const seen = new Set<Value>();
  const open = [...read];
  for (let value = open.pop(); value; value = open.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (value.tensor) weights.add(value);
    else if (constants.has(value) && value.producer) open.push(...readValues(value.producer));
  }
  return [...weights];
}
