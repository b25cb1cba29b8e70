/** After a graph is built: drops what nothing reads, folds movements of weights into the weights, names outputs. */
import { type Graph, lazy, type Model, type Node, type Tensor, type Value } from '@penjing/core';

/** Lazy forms of nodes that only move or convert a stored weight. */
const foldable: Readonly<Record<string, (tensor: Tensor, node: Node) => Tensor | undefined>> = {
  Transpose: (tensor, node) => {
    const perm = node.ints('perm');
    return perm && lazy.transpose(tensor, perm);
  },
  Reshape: reshaped, Unsqueeze: reshaped, Squeeze: reshaped,
};

function reshaped(tensor: Tensor, node: Node): Tensor | undefined {
  const type = node.output().type;
  const shape = type?.kind === 'tensor' ? type.shape : undefined;
  return shape?.every((dim) => typeof dim === 'number') ? lazy.reshape(tensor, shape) : undefined;
}

/** In place. Graph outputs keep their order and names. */
export function finishAten(model: Model): void {
  const { graph } = model;
  removeDead(graph);
  foldWeights(graph);
  removeDead(graph);
}

/** Nodes whose outputs nobody reads, last first, then the weights that only they read. */
function removeDead(graph: Graph): void {
  const kept = new Set(graph.outputs);
  for (const node of [...graph.nodes()].reverse()) {
    if (node.outputs.some((value) => value.useCount > 0 || kept.has(value))) continue;
    graph.remove(node);
  }
  for (const node of graph.nodes()) trimOutputs(node, kept);
  for (const [name, value] of graph.initializers) if (value.useCount === 0 && !kept.has(value)) graph.initializers.delete(name);
}

/** As many outputs as there are parts, or as their graphs have: none of them is optional. */
const counted: ReadonlySet<string> = new Set(['Split', 'If', 'Loop', 'Scan']);

/** Optional outputs at the end that nobody reads: ONNX Runtime computes what is named. */
function trimOutputs(node: Node, kept: ReadonlySet<Value>): void {
  if (counted.has(node.opType)) return;
  let count = node.outputs.length;
  while (count > 1 && node.outputs[count - 1]!.useCount === 0 && !kept.has(node.outputs[count - 1]!)) count--;
  if (count < node.outputs.length) node.truncateOutputs(count);
}

/**
 * A weight that is only ever read turned is stored turned: by all its readers in the same way, so that nothing is stored
 * twice. A table that is read as it is too (tied embeddings) keeps its node, which ONNX Runtime folds on loading.
 */
function foldWeights(graph: Graph): void {
  for (const value of [...graph.initializers.values()]) {
    if (!value.tensor || graph.inputs.includes(value)) continue;
    const readers = [...new Set(value.uses().map(({ node }) => node))];
    const [first] = readers;
    if (!first || readers.some((node) => node.graph !== graph || node.input(0) !== value || signature(node) !== signature(first))) continue;
    const folded = foldable[first.opType]?.(value.tensor, first);
    if (!folded || first.opType in foldable === false) continue;
    const outputs = readers.map((node) => node.output());
    if (outputs.some((output) => graph.outputs.includes(output))) continue;
    for (const [i, node] of readers.entries()) {
      outputs[i]!.replaceUsesWith(value);
      graph.remove(node);
    }
    value.tensor = folded;
    value.type = { kind: 'tensor', dtype: folded.dtype, shape: folded.shape };
  }
}

/** What a node does, to compare two of them. */
function signature(node: Node): string {
  const rest = node.inputs.slice(1).map((input) => input?.name ?? '');
  return JSON.stringify([node.opType, rest, node.ints('perm') ?? []]);
}
