/** Which nodes of the main graph compute in float16, and why the others do not. */
import type { Model, Node, Value } from '@penjing/core';
import { halfForm, type HalfForm, isFloat32 } from './half-form.js';

export interface ChooseOptions {
  /** Nodes that must stay float32, with the reason. */
  readonly keep: ReadonlyMap<Node, string>;
}

export interface ChosenNodes {
  readonly half: ReadonlyMap<Node, HalfForm>;
  /** Those that compute with float32 and stay. */
  readonly kept: ReadonlyMap<Node, string>;
}

/** Types must be inferred. Nodes in subgraphs stay float32. */
export function chooseNodes(model: Model, { keep }: ChooseOptions): ChosenNodes {
  const half = new Map<Node, HalfForm>();
  const kept = new Map<Node, string>();
  const positions = positionNodes(model);
  for (const node of model.graph.nodes()) {
    const touches = [...node.inputs, ...node.outputs].some(isFloat32);
    if (!touches) continue;
    const form = keep.get(node) ?? positions.get(node) ?? halfForm(model, node);
    if (typeof form === 'string') kept.set(node, form);
    else if (form.outputs.length > 0) half.set(node, form);
    // What only looks at floats (Shape, ArgMax, Greater) takes them as they come.
    else if (form.inputs.length > 0 && form.inputs.every((i) => fromHalf(node.input(i)!, half))) half.set(node, form);
  }
  return { half, kept };
}

function fromHalf(value: Value, half: ReadonlyMap<Node, HalfForm>): boolean {
  return (value.tensor !== undefined && !value.producer) || (value.producer !== undefined && half.has(value.producer));
}

/**
 * What computes the argument of a sine from positions: from integers and vectors. With angles rounded to float16, rotary and sinusoidal
 * positions are wrong from some hundreds on. An argument that weights take part in is an activation like any other.
 */
function positionNodes({ graph }: Model): Map<Node, string> {
  const found = new Map<Node, string>();
  for (const node of graph.nodes()) {
    if (node.domain !== '' || !['Sin', 'Cos', 'Tan'].includes(node.opType)) continue;
    const above = ancestors(node);
    for (const ancestor of above ?? []) found.set(ancestor, 'it computes angles from positions');
  }
  return found;
}

/** The nodes that make floats a node reads, unless a matrix or a float input of the model is among their sources. */
function ancestors(node: Node): Set<Node> | undefined {
  const seen = new Set<Node>();
  const queue = [node];
  for (let next = queue.pop(); next; next = queue.pop()) {
    for (const value of next.inputs) {
      if (!value || !isFloat32(value)) continue;
      const { producer, tensor } = value;
      if (!producer) {
        if (!tensor || tensor.shape.filter((dim) => dim > 1).length > 1) return undefined;
        continue;
      }
      if (seen.has(producer)) continue;
      seen.add(producer);
      queue.push(producer);
    }
  }
  return seen;
}
