import { describe, expect, it } from 'vitest';
import { denseOf, type GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { type LazyTensor } from '../../lazy.js';
import { lazy } from '../../lazy-ops.js';
import { memorySource } from '../../bytes.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';

const options = { only: ['fold-scale', 'pad-window', 'matmul-add', 'gemm-add', 'merge-constants', 'merge-clip', 'dead', 'identity'] };
const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));
const norm = (b: GraphBuilder, x: Value, channels: number): Value => {
  const positive = denseOf('float32', [channels], Array.from({ length: channels }, (_, i) => 0.5 + i / 3));
  return b.op('BatchNormalization', [x, w(b, 'gamma', channels), w(b, 'beta', channels), w(b, 'mean', channels), b.initializer('variance', positive)]);
};
const conv = (b: GraphBuilder, x: Value, bias = true): Value => b.op('Conv', [x, w(b, 'kernel', 4, 3, 3, 3), bias ? w(b, 'bias', 4) : null], { pads: [1, 1, 1, 1] });

/** x is (2, 3, 5, 5), m is (3, 6). */
const cases: [name: string, make: (b: GraphBuilder, x: Value, m: Value) => Value, expected: string[]][] = [
  ['Conv, BatchNormalization', (b, x) => norm(b, conv(b, x), 4), ['Conv']],
  ['Conv without bias, BatchNormalization', (b, x) => norm(b, conv(b, x, false), 4), ['Conv']],
  ['Conv, Mul, Add', (b, x) => b.op('Add', [b.op('Mul', [conv(b, x), w(b, 'by', 4, 1, 1)]), w(b, 'plus', 1, 4, 1, 1)]), ['Conv']],
  ['Conv, Div, Sub', (b, x) => b.op('Sub', [b.op('Div', [conv(b, x), b.constant('float32', 3)]), b.constant('float32', 2)]), ['Conv']],
  ['a constant minus Conv', (b, x) => b.op('Sub', [b.constant('float32', 2), conv(b, x)]), ['Conv']],
  ['grouped Conv, BatchNormalization', (b, x) => norm(b, b.op('Conv', [x, w(b, 'depthwise', 3, 1, 3, 3)], { group: 3 }), 3), ['Conv']],
  ['ConvTranspose, BatchNormalization', (b, x) => norm(b, b.op('ConvTranspose', [x, w(b, 'kernel', 3, 4, 2, 2)], { strides: [2, 2] }), 4), ['ConvTranspose']],
  ['Pad, Conv', (b, x) => b.op('Conv', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 2, 0, 0, 0, 1])]), w(b, 'kernel', 4, 3, 3, 3)], { pads: [0, 1, 0, 1] }), ['Conv']],
  ['Pad, AveragePool', (b, x) => b.op('AveragePool', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 1, 0, 0, 1, 1])])], { kernel_shape: [3, 3] }), ['AveragePool']],
  ['Pad by 1, Conv stays', (b, x) => b.op('Conv', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 2, 0, 0, 0, 1]), b.constant('float32', 1)]), w(b, 'kernel', 4, 3, 3, 3)]), ['Pad', 'Conv']],
  ['Pad by zeros, MaxPool stays', (b, x) => b.op('MaxPool', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 1, 0, 0, 1, 1])])], { kernel_shape: [3, 3] }), ['Pad', 'MaxPool']],
  ['Conv times a picture stays', (b, x) => b.op('Mul', [conv(b, x), w(b, 'mask', 5, 5)]), ['Conv', 'Mul']],
  ['MatMul, Add of rank 2', (b, _, m) => b.op('Add', [b.op('MatMul', [m, w(b, 'weight', 6, 4)]), w(b, 'bias', 4)]), ['Gemm']],
  ['MatMul, BatchNormalization of rank 2 has no place for the shift', (b, _, m) => norm(b, b.op('MatMul', [m, w(b, 'weight', 6, 4)]), 4), ['MatMul', 'BatchNormalization']],
  ['MatMul, Mul', (b, _, m) => b.op('Mul', [b.op('MatMul', [m, w(b, 'weight', 6, 4)]), w(b, 'by', 4)]), ['MatMul']],
  ['Gemm, BatchNormalization', (b, _, m) => norm(b, b.op('Gemm', [m, w(b, 'weight', 4, 6), w(b, 'bias', 4)], { transB: 1 }), 4), ['Gemm']],
  ['Gemm with alpha and beta, BatchNormalization', (b, _, m) => norm(b, b.op('Gemm', [m, w(b, 'weight', 6, 4), w(b, 'bias', 4)], { alpha: 0.5, beta: 2.5 }), 4), ['Gemm']],
  ['Gemm without bias, Add', (b, _, m) => b.op('Add', [w(b, 'bias', 1, 4), b.op('Gemm', [m, w(b, 'weight', 6, 4)], { alpha: 0.5, beta: 2.5 })]), ['Gemm']],
  ['MatMul of a computed matrix, Add stays', (b, _, m) => b.op('Add', [b.op('MatMul', [m, b.op('Transpose', [m], { perm: [1, 0] })]), w(b, 'bias', 3)]), ['Transpose', 'MatMul', 'Add']],
  ['Mul, Mul', (b, x) => b.op('Div', [b.op('Mul', [x, b.constant('float32', 3)]), w(b, 'by', 3, 1, 1)]), ['Mul']],
  ['Add, Sub', (b, x) => b.op('Sub', [b.op('Add', [b.constant('float32', 3), x]), w(b, 'by', 5)]), ['Add']],
  ['Add, Mul stays', (b, x) => b.op('Mul', [b.op('Add', [x, b.constant('float32', 3)]), b.constant('float32', 3)]), ['Add', 'Mul']],
  ['constants of different shape stay', (b, x) => b.op('Mul', [b.op('Mul', [x, w(b, 'by', 3, 1, 1)]), w(b, 'more', 5)]), ['Mul', 'Mul']],
  ['Relu, Clip', (b, x) => b.op('Clip', [b.op('Relu', [x]), b.constant('float32', -1), b.constant('float32', 0.5)]), ['Clip']],
  ['Relu, Relu', (b, x) => b.op('Relu', [b.op('Relu', [x])]), ['Relu']],
  ['Clip, Relu', (b, x) => b.op('Relu', [b.op('Clip', [x, b.constant('float32', -0.5)])]), ['Relu']],
];

describe('constants next to an operator', () => {
  for (const [name, make, expected] of cases) {
    it(name, async () => {
      const { ops, branch } = await rewriteBoth({ options, build: (b, input) => make(b, input('x', floats(2, 3, 5, 5)), input('m', floats(3, 6))) });
      expect(ops).toEqual(expected);
      expect(branch).toEqual(ops);
    });
  }

  it('a weight that two nodes read is not stored twice, one in the middle that is an output stays', async () => {
    const both = await rewriteBoth({
      options, unchanged: true,
      build: (b, input) => {
        const kernel = w(b, 'kernel', 4, 3, 3, 3);
        const [one, two] = [b.op('Conv', [input('x', floats(2, 3, 5, 5)), kernel]), b.op('Conv', [input('z', floats(2, 3, 5, 5)), kernel])];
        const seen = conv(b, input('x', floats(2, 3, 5, 5)));
        return [norm(b, one, 4), two, seen, b.op('Mul', [seen, b.constant('float32', 2)])];
      },
    });
    expect(both.result.records).toEqual([]);
  });

  it('a large weight stays an expression over the file, with a record', async () => {
    const { model, result } = await rewriteBoth({
      options,
      build: (b, input) => {
        const bytes = randomTensor([64, 3, 16, 16], 3).bytes;
        const kernel = b.initializer('kernel', lazy.source(memorySource(bytes), 0, 'float32', [64, 3, 16, 16]));
        return norm(b, b.op('Conv', [input('x', floats(1, 3, 17, 17)), kernel]), 64);
      },
    });
    const [weight] = [...model.graph.initializers.values()].filter(({ tensor }) => tensor!.byteLength > 1e5);
    expect((weight!.tensor as LazyTensor).expr.op).toBe('multiply');
    expect(result.records).toEqual([{ name: 'kernel', method: 'fold scale', elements: 49152, bytesBefore: 196608, bytesAfter: 196608 }]);
  });
});
