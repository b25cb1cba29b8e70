/** A transpose in front of a Flatten and a product costs nothing when the columns of the weight are in the other order. */
import { elementCount, lazy, type DenseTensor } from '@penjing/core';
import { consumers, fixedShape, type TfGraph, type TfOperator, type TfTensor } from './tf-graph.js';

/**
 * TRANSPOSE, RESHAPE to (batch, features), FULLY_CONNECTED with a constant weight (out, features): the reshape reads what was transposed, and
 * the columns of the weight are permuted, lazily. True when something changed.
 */
export function foldFlatten(graph: TfGraph): boolean {
  const readers = consumers(graph);
  const producer = new Map(graph.operators.flatMap((operator) => operator.outputs.map((output) => [output, operator] as const)));
  const outputs = new Set(graph.outputs.map(({ tensor }) => tensor));
  for (const reshape of graph.operators) {
    if (reshape.type !== 'RESHAPE') continue;
    // What works on each element alone may stand between.
    const between: TfOperator[] = [];
    let transpose = producer.get(reshape.inputs[0]!);
    while (transpose && elementwise.has(transpose.type) && readers.get(transpose.outputs[0]!)?.length === 1 && !outputs.has(transpose.outputs[0]!)) {
      between.unshift(transpose);
      transpose = producer.get(transpose.inputs[0]!);
    }
    if (transpose?.type !== 'TRANSPOSE') continue;
    const [flat] = reshape.outputs as [TfTensor];
    const products = readers.get(flat) ?? [];
    const shape = fixedShape(transpose.outputs[0]!.shape.slice(1));
    const perm = [...((transpose.inputs[1]!.content as DenseTensor).data as Int32Array)];
    const isRows = flat.shape.length === 2 && shape !== undefined && flat.shape[1] === elementCount(shape) && perm[0] === 0;
    if (!isRows || outputs.has(flat) || products.length === 0 || !products.every((product) => takesRows(product, flat))) continue;
    for (const product of products) product.inputs[1] = permuted(product.inputs[1]!, shape, perm);
    reshape.inputs[0] = between.reduce((x, operator) => {
      operator.inputs[0] = x;
      operator.outputs = [{ ...operator.outputs[0]!, shape: x.shape }];
      return operator.outputs[0]!;
    }, transpose.inputs[0]!);
    // The list of operators is walked again with the new links.
    return true;
  }
  return false;
}

/** Operators with one operand, the same for every order of the elements. */
const elementwise: ReadonlySet<TfOperator['type']> = new Set(['RELU', 'RELU6', 'RELU_N1_TO_1', 'LOGISTIC', 'TANH', 'HARD_SWISH', 'LEAKY_RELU', 'ELU', 'GELU', 'DEQUANTIZE', 'QUANTIZE']);

const takesRows = ({ type, inputs }: TfOperator, flat: TfTensor): boolean => type === 'FULLY_CONNECTED' && inputs[0] === flat && inputs[1]?.content !== undefined;

/** Columns that stood in the order of a transposed row, in the order before. */
function permuted(weight: TfTensor, shape: readonly number[], perm: readonly number[]): TfTensor {
  const [rows, columns] = weight.shape as [number, number];
  const back = perm.map((_, axis) => perm.indexOf(axis));
  const content = lazy.reshape(lazy.transpose(lazy.reshape(weight.content!, [rows, ...shape]), back), [rows, columns]);
  return { ...weight, content };
}
