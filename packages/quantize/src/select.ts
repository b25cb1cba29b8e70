/** Finds the weights that block quantization can take, each with every node that reads it. */
import { type Graph, lazy, type Model, modelGraphs, type Node, type Tensor, type Value } from '@penjing/core';

/** One node that multiplies by, or looks up rows of, a weight matrix. */
export interface WeightSite {
  readonly kind: 'matmul' | 'gemm' | 'gather';
  readonly node: Node;
}

export interface WeightMatrix {
  readonly weight: Value;
  /** The graph whose initializer it is. */
  readonly owner: Graph;
  /** (rows, cols): one row per output, summed over cols; for a lookup one row per index. */
  readonly matrix: Tensor;
  readonly sites: readonly WeightSite[];
}

export interface SkippedWeight {
  readonly weight: Value;
  readonly reason: string;
}

interface Candidate extends WeightSite {
  readonly weight: Value;
  /** The stored matrix is (cols, rows) and has to be turned. */
  readonly turned: boolean;
}

/** Weights of MatMul, Gemm and (when `embeddings`) Gather, with the same orientation at every site. */
export function weightMatrices(
  model: Model,
  embeddings: boolean,
): { matrices: WeightMatrix[]; skipped: SkippedWeight[] } {
  const owners = new Map<Value, Graph>();
  const sites = new Map<Value, Candidate[]>();
  for (const graph of modelGraphs(model)) {
    for (const value of graph.initializers.values()) owners.set(value, graph);
  }
  for (const graph of modelGraphs(model)) {
    for (const node of graph.nodes()) {
      const found = candidate(node);
      if (!found || (found.kind === 'gather' && !embeddings)) continue;
      if (!owners.has(found.weight)) continue;
      const list = sites.get(found.weight);
      if (list) list.push(found);
      else sites.set(found.weight, [found]);
    }
  }

  const matrices: WeightMatrix[] = [];
  const skipped: SkippedWeight[] = [];
  for (const [weight, list] of sites) {
    const owner = owners.get(weight)!;
    const { tensor } = weight;
    const turned = list[0]!.turned;
    if (!tensor || tensor.shape.length !== 2) continue;
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16') {
      if (tensor.dtype === 'bfloat16') skipped.push({ weight, reason: 'bfloat16 has no quantized CPU kernel' });
      continue;
    }
    if (model.irVersion >= 4 && owner.inputs.includes(weight)) {
      skipped.push({ weight, reason: 'callers may override it: it is an input of the graph' });
    } else if (list.some((site) => site.turned !== turned)) {
      skipped.push({ weight, reason: 'it is used both as it is and transposed' });
    } else {
      const matrix = turned ? lazy.transpose(tensor, [1, 0]) : tensor;
      matrices.push({ weight, owner, matrix, sites: list.map(({ kind, node }) => ({ kind, node })) });
    }
  }
  return { matrices, skipped };
}

/** The finders, by operator of ai.onnx. */
const finders: Readonly<Record<string, (node: Node) => Candidate | undefined>> = {
  MatMul(node) {
    const value = node.input(1);
    if (!value || rankOf(node.input(0)) === 1) return undefined;
    const { producer } = value;
    if (producer?.opType === 'Transpose' && producer.domain === '' && isSwap(producer)) {
      const weight = producer.input(0);
      return weight?.tensor && { kind: 'matmul', node, weight, turned: false };
    }
    return value.tensor && { kind: 'matmul', node, weight: value, turned: true };
  },
  Gemm(node) {
    const weight = node.input(1);
    const plain = node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && node.float('beta', 1) === 1;
    if (!weight?.tensor || !plain) return undefined;
    return { kind: 'gemm', node, weight, turned: node.int('transB', 0) === 0 };
  },
  Gather(node) {
    const weight = node.input(0);
    if (!weight?.tensor || node.int('axis', 0) !== 0) return undefined;
    return { kind: 'gather', node, weight, turned: false };
  },
};

function candidate(node: Node): Candidate | undefined {
  return node.domain === '' && Object.hasOwn(finders, node.opType) ? finders[node.opType]!(node) : undefined;
}

function isSwap(transpose: Node): boolean {
  const perm = transpose.ints('perm');
  return perm === undefined || (perm.length === 2 && perm[0] === 1 && perm[1] === 0);
}

function rankOf(value: Value | undefined): number | undefined {
  return value?.type?.kind === 'tensor' ? value.type.shape?.length : undefined;
}
