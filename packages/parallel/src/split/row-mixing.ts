/** Which models may be cut along their batch: what computes rows apart, and to the same bits. */
import { type Model, modelGraphs, type Node } from '@penjing/core';

/** Operators whose outputs for a row depend on other rows, or on chance. */
const mixing: Readonly<Record<string, (node: Node) => boolean>> = {
  // one scale for the whole tensor
  DynamicQuantizeLinear: () => true,
  DynamicQuantizeMatMul: () => true,
  DynamicQuantizeLSTM: () => true,
  BatchNormalization: (node) => {
    const mode = node.attributes.get('training_mode');
    return mode?.kind === 'int' && mode.value !== 0n;
  },
  NonMaxSuppression: () => true,
  NonZero: () => true,
  Unique: () => true,
  Compress: () => true,
  RandomNormal: () => true,
  RandomNormalLike: () => true,
  RandomUniform: () => true,
  RandomUniformLike: () => true,
  Multinomial: () => true,
  Bernoulli: () => true,
};

/** Products in which a batch of one row may be one row of a matrix: ONNX Runtime multiplies that with another kernel, which adds in another order. */
const products = /^(MatMul|Gemm|FusedMatMul|FusedGemm|LSTM|GRU|RNN|Attention|MultiHeadAttention|GroupQueryAttention|MoE|QMoE|MatMulNBits|Einsum)$/;

/** Operators for which a batch must stay whole. */
export function mixingOps(model: Model): string[] {
  return opsWhere(model, (node) => mixing[node.opType]?.(node) === true);
}

/** Fewest rows of a piece whose outputs are, bit for bit, those of the whole batch. */
export function smallestPiece(model: Model): number {
  return opsWhere(model, ({ opType }) => products.test(opType)).length > 0 ? 2 : 1;
}

function opsWhere(model: Model, wanted: (node: Node) => boolean): string[] {
  const found = new Set<string>();
  for (const graph of modelGraphs(model)) for (const node of graph.nodes()) if (wanted(node)) found.add(node.opType);
  return [...found];
}
