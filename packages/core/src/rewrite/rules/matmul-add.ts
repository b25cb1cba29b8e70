/** A matrix product of rank 2 and the vector added to it are one Gemm. */
import type { Rule } from '../rule.js';

/**
 * MatMul(x, W) + b with x of rank 2: ONNX Runtime makes the same Gemm when it loads the file, and block quantization
 * takes Gemm as it takes MatMul. Higher ranks would need two Reshapes more.
 */
export const matmulAdd: Rule = {
  name: 'matmul-add',
  phase: 'merge',
  ops: ['Add'],
  apply(node, c) {
    if (c.opset < 7) return false;
    for (const index of [0, 1]) {
      const product = c.producer(node.input(index), 'MatMul');
      const bias = node.input(1 - index);
      if (!product || !bias || !c.isPrivate(node.input(index)!) || product.graph !== node.graph || c.dtype(node.input(index)) !== 'float32') continue;
      const [a, b] = [c.shape(product.input(0)), c.fixedShape(product.input(1))];
      const added = c.weight(bias)?.shape;
      if (a?.length !== 2 || b?.length !== 2 || !c.weight(product.input(1)) || !added) continue;
      const fits = added.length <= 2 && (added.at(-1) === b[1] || added.at(-1) === 1 || added.length === 0) && (added.length < 2 || added[0] === 1);
      if (fits) return c.become(node, 'Gemm', [product.input(0), product.input(1), bias]);
    }
    return false;
  },
};
