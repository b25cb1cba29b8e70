/** Products of matrices: FULLY_CONNECTED when one side is a weight, BATCH_MATMUL otherwise. */
import { type Dim, elementCount, lazy, type Tensor } from '@penjing/core';
import { reshaped } from '../emitter.js';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import { binary, formula } from './elementwise.js';

/** x (…, in) by a weight (out, in). */
export function fullyConnected(c: LowerContext, x: TfTensor, weight: TfTensor, bias: TfTensor | null, shape?: readonly Dim[]): TfTensor {
  return c.emit('FULLY_CONNECTED', bias ? [x, weight, bias] : [x, weight], {
    ...(shape && { shape }),
    options: { type: 'FullyConnectedOptions', value: { fusedActivationFunction: 0, keepNumDims: x.shape.length > 2 } },
  });
}

function batchMatmul(c: LowerContext, a: TfTensor, b: TfTensor, adjX: boolean, adjY: boolean, shape?: readonly Dim[]): TfTensor {
  return c.emit('BATCH_MATMUL', [a, b], { ...(shape && { shape }), options: { type: 'BatchMatMulOptions', value: { adjX, adjY } } });
}

/** A factor of 1 changes nothing. */
function scaled(tensor: Tensor, factor: number, c: LowerContext): Tensor {
  if (factor === 1) return tensor;
  return lazy.multiply(tensor, c.floats([factor]).content!);
}

/** A bias as the (n) that TFLite adds; undefined when it is something else. */
function biasOf(tensor: Tensor, n: number): Tensor | undefined {
  const count = elementCount(tensor.shape);
  if (count === n && tensor.shape.at(-1) === n) return reshaped(tensor, [n]);
  return undefined;
}

export const linalg = {
  Gemm: {
    lower(c) {
      const { node } = c;
      const [alpha, beta] = [node.float('alpha', 1), node.float('beta', 1)];
      const [transA, transB] = [node.int('transA', 0) === 1, node.int('transB', 0) === 1];
      const n = c.outShape().at(-1)!;
      if (typeof n !== 'number') return c.failOpen(node.output());
      const weight = c.constant(1);
      const addend = c.has(2) ? c.constant(2) : undefined;
      const bias = addend && biasOf(addend, n);
      const a = c.input(0);
      const shape = c.outShape();
      let product: TfTensor;
      if (weight && weight.shape.length === 2) {
        const x = transA ? c.transpose(a, [1, 0]) : a;
        // (in, out) or (out, in) to (out, in).
        const w = c.weight(1, (tensor) => scaled(transB ? tensor : lazy.transpose(tensor, [1, 0]), alpha, c));
        const fused = bias && c.bias(scaled(bias, beta, c), x, w);
        product = fullyConnected(c, x, w, fused ?? null, shape);
        if (!c.has(2) || fused) return c.set(product);
      } else {
        product = batchMatmul(c, a, c.input(1), transA, transB, shape);
        if (alpha !== 1) product = formula(c).mul(product, alpha);
        if (!c.has(2)) return c.set(product);
      }
      const added = c.operand(2, 2);
      c.set(binary(c, 'ADD', product, beta === 1 ? added : formula(c).mul(added, beta)));
    },
  },
  MatMul: {
    reads: [0, 1],
    lower(c) {
      const [ra, rb] = [c.rank(0), c.rank(1)];
      const weight = c.constant(1);
      if (weight && rb === 2 && ra >= 2) {
        const x = c.input(0);
        const w = c.weight(1, (tensor) => lazy.transpose(tensor, [1, 0]));
        // `rewriteForTflite` gives it the bias that an Add would add.
        const bias = c.has(2) ? c.bias(c.constant(2)!, x, w) : null;
        return c.set(fullyConnected(c, x, w, bias));
      }
      if (ra === 0 || rb === 0) throw c.fail('one of its operands is a scalar');
      // A vector is a matrix of one row, or of one column.
      const a = ra === 1 ? c.reshape(c.input(0), [1, ...c.shape(0)]) : c.input(0);
      const b = rb === 1 ? c.reshape(c.input(1), [...c.shape(1), 1]) : c.input(1);
      if (ra > 1 && rb > 1) return c.set(batchMatmul(c, a, b, false, false));
      const batch = c.outShape().slice(0, c.outShape().length - (ra > 1 ? 1 : 0) - (rb > 1 ? 1 : 0));
      const full = batchMatmul(c, a, b, false, false, [...batch, a.shape.at(-2)!, b.shape.at(-1)!]);
      c.set(c.reshape(full, c.outShape()));
    },
  },
} satisfies Record<string, Lowering>;
