/** Gradients of matrix products. */
import { attribute, type Value } from '@penjing/core';
import { rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/** A vector seen as a matrix: (1, k) on the left, (k, 1) on the right. */
const asMatrix = (c: GradientContext, x: Value, axis: number): Value => (rankOf(x) === 1 ? c.ops.unsqueeze(x, [axis]) : x);

/** The gradient with the axes that vectors did without. */
function matrixGradient(c: GradientContext): Value {
  const [left, right] = [rankOf(c.input(0)) === 1, rankOf(c.input(1)) === 1];
  const rank = rankOf(c.gradient) + (left ? 1 : 0) + (right ? 1 : 0);
  return c.ops.unsqueeze(c.gradient, [...(left ? [rank - 2] : []), ...(right ? [rank - 1] : [])]);
}

/**
 * A matrix on the right of a batch: its gradient is one product over all rows, not a product per batch element and a sum of those.
 * (…, rows, k)ᵀ (…, rows, n) → (k, n)
 */
function sharedMatrix(c: GradientContext, x: Value, gradient: Value): Value {
  return c.ops.matmul(c.ops.transpose(c.ops.rows(x), [1, 0]), c.ops.rows(gradient));
}

const matmul: GradientRule = (c) => {
  const [a, b] = [c.input(0), c.input(1)];
  const [left, right] = [asMatrix(c, a, 0), asMatrix(c, b, 1)];
  return [
    () => back(c, c.ops.matmul(matrixGradient(c), c.ops.transposeLast(right)), left, a),
    () => {
      if (rankOf(b) === 2 && rankOf(a) > 2) return sharedMatrix(c, a, c.gradient);
      return back(c, c.ops.matmul(c.ops.transposeLast(left), matrixGradient(c)), right, b);
    },
  ];
};

/** Sums over broadcast batches, and takes away the axis that a vector had been given. */
function back(c: GradientContext, gradient: Value, matrix: Value, input: Value): Value {
  const summed = c.ops.sumTo(gradient, matrix);
  return matrix === input ? summed : c.ops.reshapeLike(summed, input);
}

/** Y = α A′ B′ + β C; the transposes are those of the operator. */
const gemm: GradientRule = (c) => {
  const [a, b] = [c.input(0), c.input(1)];
  const [transA, transB] = [c.node.int('transA', 0), c.node.int('transB', 0)];
  const [alpha, beta] = [c.node.float('alpha', 1), c.node.float('beta', 1)];
  const product = (x: Value, y: Value, tx: number, ty: number): Value => c.ops.op('Gemm', [x, y], { transA: tx, transB: ty, alpha: attribute.float(alpha) });
  return [
    () => (transA ? product(b, c.gradient, transB, 1) : product(c.gradient, b, 0, 1 - transB)),
    () => (transB ? product(c.gradient, a, 1, transA) : product(a, c.gradient, 1 - transA, 0)),
    () => c.ops.sumTo(c.ops.scale(c.gradient, beta), c.input(2)),
  ];
};

/** Y = α A′ B′ over batches, the transposes those of the operator, on the last two axes. */
const fusedMatmul: GradientRule = (c) => {
  if (c.node.int('transBatchA', 0) || c.node.int('transBatchB', 0)) throw c.unsupported('FusedMatMul with transposed batches');
  const [a, b] = [c.input(0), c.input(1)];
  const [transA, transB] = [c.node.int('transA', 0), c.node.int('transB', 0)];
  if (rankOf(a) < 2 || rankOf(b) < 2) throw c.unsupported('FusedMatMul of a vector');
  const alpha = attribute.float(c.node.float('alpha', 1));
  const product = (x: Value, y: Value, tx: number, ty: number): Value => c.ops.op('FusedMatMul', [x, y], { transA: tx, transB: ty, alpha }, { domain: 'com.microsoft' });
  const shared = rankOf(b) === 2 && rankOf(a) > 2 && !transA;
  return [
    () => c.ops.sumTo(transA ? product(b, c.gradient, transB, 1) : product(c.gradient, b, 0, 1 - transB), a),
    () => {
      const [x, g] = shared ? [c.ops.rows(a), c.ops.rows(c.gradient)] : [a, c.gradient];
      return c.ops.sumTo(transB ? product(g, x, 1, transA) : product(x, g, 1 - transA, 0), b);
    },
  ];
};

/**
 * A sum of products over letters: the gradient of one operand is the sum of products of the gradient and the others. A letter that only this operand has is
 * summed away, and its gradient is repeated along it.
 */
const einsum: GradientRule = (c) => {
  const equation = c.node.string('equation', '').replaceAll(' ', '');
  const [inputs = '', given] = equation.split('->');
  const terms = inputs.split(',');
  const output = given ?? [...new Set(inputs.replaceAll(',', ''))].filter((letter) => inputs.split(letter).length === 2).sort().join('');
  if (equation.includes('.')) throw c.unsupported('Einsum with an ellipsis');
  return terms.map((term, index) => () => {
    if (new Set(term).size !== term.length) throw c.unsupported(`Einsum with a diagonal (${term})`);
    const others = terms.flatMap((other, i) => (i === index ? [] : [{ term: other, value: c.input(i) }]));
    const known = new Set(output + others.map((other) => other.term).join(''));
    const reached = [...term].filter((letter) => known.has(letter)).join('');
    const product = c.ops.op('Einsum', [c.gradient, ...others.map(({ value }) => value)], { equation: `${[output, ...others.map((other) => other.term)].join(',')}->${reached}` });
    if (reached === term) return product;
    const missing = [...term].flatMap((letter, axis) => (known.has(letter) ? [] : [axis]));
    return c.ops.expandLike(c.ops.unsqueeze(product, missing), c.input(index));
  });
};

export const linalgGradients = { Einsum: einsum, Gemm: gemm, MatMul: matmul, 'com.microsoft.FusedMatMul': fusedMatmul, 'com.microsoft.TransposeMatMul': fusedMatmul } as const satisfies Readonly<Record<string, GradientRule>>;
