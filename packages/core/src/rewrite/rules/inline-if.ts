/** An If whose condition is known becomes the nodes of the branch that it takes. */
import { attribute } from '../../graph/attribute.js';
import type { Graph } from '../../graph/graph.js';
import { Node } from '../../graph/node.js';
import { allGraphs } from '../../graph/traverse.js';
import type { Value } from '../../graph/value.js';
import { release } from '../dead.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

export const inlineIf: Rule = {
  name: 'inline-if',
  phase: 'clean',
  ops: ['If'],
  apply(node, context) {
    const condition = context.scalar(node.input(0)) ?? context.numbers(node.input(0))?.[0];
    const branch = condition === undefined ? undefined : node.subgraph(condition ? 'then_branch' : 'else_branch');
    const graph = node.graph!;
    if (!branch || branch.outputs.length < node.outputs.length) return false;
    context.forgetOutputs(branch.outputs);
    moveWeights(branch, graph, node, context);
    for (const inner of [...branch.nodes()]) {
      inner.outputs.forEach((value) => uniqueName(value, context));
      graph.insertBefore(node, moved(inner, branch));
    }
    node.outputs.forEach((old, i) => {
      const value = branch.outputs[i]!;
      // A constant or an outer value cannot take the name of an output.
      if (!context.replace(old, value)) context.replace(old, context.insert(node, 'Identity', [value]));
    });
    release(node);
    for (const name of ['then_branch', 'else_branch']) node.attributes.delete(name);
    graph.remove(node);
    return true;
  },
};

function moveWeights(branch: Graph, graph: Graph, anchor: Node, context: Rewriter): void {
  for (const value of branch.initializers.values()) {
    uniqueName(value, context);
    if (!context.isFunction) {
      graph.initializers.set(value.name, value);
      continue;
    }
    const { tensor } = value;
    value.tensor = undefined;
    graph.insertBefore(anchor, new Node('Constant', [], [value], { attributes: [['value', attribute.tensor(tensor!)]] }));
  }
}

/** In the outer graph a name must differ from all others of the model: a sibling branch may have used it as well. */
function uniqueName(value: Value, context: Rewriter): void {
  if (value.name === '') return;
  let count = 0;
  for (const graph of allGraphs(context.root)) {
    if (graph.initializers.has(value.name) || graph.inputs.some((input) => input.name === value.name)) count++;
    for (const node of graph.nodes()) if (node.outputs.some((out) => out.name === value.name)) count++;
  }
  if (count > 1) value.name = context.names.claim(value.name);
}

/** The node with its outputs and subgraphs, free to stand in another graph. */
function moved(node: Node, from: Graph): Node {
  const [inputs, outputs] = [[...node.inputs], [...node.outputs]];
  node.truncateOutputs(0);
  from.remove(node);
  const copy = new Node(node.opType, inputs, outputs, { domain: node.domain, overload: node.overload, name: node.name, attributes: node.attributes });
  copy.doc = node.doc;
  copy.extra = node.extra;
  for (const [key, text] of node.metadata) copy.metadata.set(key, text);
  return copy;
}
