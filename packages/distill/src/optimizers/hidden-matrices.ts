/** Which weights Muon is for: matrices between the first layer and the last. */
import { elementCount, type Model, type Node, type Value } from '@penjing/core';
import { weightMatrices } from '@penjing/core/calibrate';
import type { MatrixForm } from './muon.js';

/**
 * Matrices of products and kernels of convolutions that have a layer before them and one behind them: what reads the model's inputs, embeddings and what makes its outputs is not among them, nor is an embedding that is the
 * last layer too. A kernel is (outputs, channels · places); those of grouped convolutions are left out, whose filters do not see the same inputs. Weights that are read in another way as well, or in subgraphs, are left out.
 */
export function hiddenMatrices(model: Model): MatrixForm[] {
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'conv', 'gather']);
  const layers = new Set(matrices.flatMap(({ sites }) => sites.map(({ node }) => node)));
  const hidden = between(model, layers);
  return matrices.flatMap(({ weight, root, owner, sites, otherReaders, turned }) => {
    const fits = root === model.graph && owner === root && otherReaders.length === 0 && sites.every(({ kind, node }) => kind !== 'gather' && hidden.has(node) && node.int('group', 1) === 1);
    if (!fits) return [];
    const [rows = 1, ...inner] = weight.tensor!.shape;
    return [{ name: weight.name, rows, cols: elementCount(inner), turned }];
  });
}

/** Nodes of the main graph that depend on a layer and that a layer depends on. */
function between(model: Model, layers: ReadonlySet<Node>): ReadonlySet<Node> {
  const nodes = [...model.graph.nodes()];
  const after = new Set<Value>();
  const behind = new Set<Node>();
  for (const node of nodes) {
    const depends = node.inputs.some((value) => value !== null && after.has(value));
    if (depends) behind.add(node);
    if (depends || layers.has(node)) for (const output of node.outputs) after.add(output);
  }
  const before = new Set<Value>();
  return new Set(nodes.reverse().filter((node) => {
    const leads = node.outputs.some((value) => before.has(value));
    if (leads || layers.has(node)) for (const value of node.inputs) if (value) before.add(value);
    return leads && behind.has(node);
  }));
}
