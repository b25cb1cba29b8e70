/** At which rows a batch may be cut, so that the pieces give what the whole gives, bit for bit. */
import { type Model, modelGraphs, type Node, type Value } from '@penjing/core';

/**
 * Operators that ONNX Runtime 1.30 computes four numbers at a time, and the rest at the end of a tensor by another formula: pieces agree with the whole where they begin at a multiple of four rows. Found by
 * running 70 operators on pieces of 1 to 16 rows; Exp, Erf, Tanh, Sigmoid, Softmax, the layer normalisations, convolutions and pools agree everywhere.
 */
const byFour = new Set([
  'Log', 'Sin', 'Cos', 'Asin', 'Acos', 'Atan', 'Elu', 'Selu', 'Celu', 'Softplus', 'Mish', 'Einsum', 'InstanceNormalization', 'GroupNormalization',
  'ReduceMean', 'ReduceSum', 'ReduceLogSum', 'ReduceLogSumExp',
]);

const products = new Set(['MatMul', 'FusedMatMul', 'Gemm', 'FusedGemm']);

/** Weights of a model from which on ONNX Runtime maps them as they are, and multiplies single rows with another kernel. */
const MAPPED = 2 ** 30;

/**
 * Pieces of a batch that begin at multiples of this many rows agree with the whole in every bit, for engines of one thread: 4 with the operators above, 2 where a single row would be multiplied by a matrix
 * that is not packed beforehand, else 1. (With more threads the operators above are cut by their number too.)
 */
export function rowGrain(model: Model): number {
  const nodes = [...nodesOf(model)];
  if (nodes.some(({ opType }) => byFour.has(opType))) return 4;
  const weights = nodes.filter(({ opType }) => products.has(opType)).map((node) => node.input(1));
  const bytes = weights.reduce((sum, weight) => sum + (weight?.tensor?.byteLength ?? 0), 0);
  return bytes >= MAPPED || weights.some((weight) => !isPacked(weight)) ? 2 : 1;
}

/** Weights are packed; with a batch of matrices on the right, rows of the left are those of one matrix, not of the batch. */
function isPacked(weight: Value | undefined): boolean {
  if (weight?.tensor) return true;
  const { type } = weight ?? {};
  return type?.kind === 'tensor' && (type.shape?.length ?? 0) >= 3;
}

function* nodesOf(model: Model): Iterable<Node> {
  for (const graph of modelGraphs(model)) yield* graph.nodes();
}
