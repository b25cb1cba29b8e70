import { describe, expect, it } from 'vitest';
import { memorySource } from '../../bytes.js';
import { denseOf, type GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { lazy } from '../../lazy-ops.js';
import type { LazyTensor } from '../../lazy.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';
import { testRule } from '../rule-cases.js';

const options = { only: ['fold-scale', 'dead'] };
const matrix = { inputs: [floats(3, 6)] };
const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));
const norm = (b: GraphBuilder, x: Value, channels: number): Value => {
  const positive = denseOf('float32', [channels], Array.from({ length: channels }, (_, i) => 0.5 + i / 3));
  return b.op('BatchNormalization', [x, w(b, 'gamma', channels), w(b, 'beta', channels), w(b, 'mean', channels), b.initializer('variance', positive)]);
};
const conv = (b: GraphBuilder, x: Value, bias = true): Value => b.op('Conv', [x, w(b, 'kernel', 4, 3, 3, 3), bias ? w(b, 'bias', 4) : null], { pads: [1, 1, 1, 1] });

describe('fold-scale', () => {
  testRule('fold-scale', {
    'Conv, BatchNormalization': [(b, x) => norm(b, conv(b, x), 4), ['Conv']],
    'Conv without bias, BatchNormalization': [(b, x) => norm(b, conv(b, x, false), 4), ['Conv']],
    'Conv, Mul, Add': [(b, x) => b.op('Add', [b.op('Mul', [conv(b, x), w(b, 'by', 4, 1, 1)]), w(b, 'plus', 1, 4, 1, 1)]), ['Conv']],
    'Conv, Div, Sub': [(b, x) => b.op('Sub', [b.op('Div', [conv(b, x), b.constant('float32', 3)]), b.constant('float32', 2)]), ['Conv']],
    'a constant minus Conv': [(b, x) => b.op('Sub', [b.constant('float32', 2), conv(b, x)]), ['Conv']],
    'grouped Conv, BatchNormalization': [(b, x) => norm(b, b.op('Conv', [x, w(b, 'depthwise', 3, 1, 3, 3)], { group: 3 }), 3), ['Conv']],
    'ConvTranspose, BatchNormalization': [(b, x) => norm(b, b.op('ConvTranspose', [x, w(b, 'kernel', 3, 4, 2, 2)], { strides: [2, 2] }), 4), ['ConvTranspose']],
    'Conv times a picture stays': [(b, x) => b.op('Mul', [conv(b, x), w(b, 'mask', 5, 5)]), ['Conv', 'Mul']],
    'MatMul, BatchNormalization has no place for the shift': [(b, m) => norm(b, b.op('MatMul', [m, w(b, 'weight', 6, 4)]), 4), ['MatMul', 'BatchNormalization'], matrix],
    'MatMul, Mul': [(b, m) => b.op('Mul', [b.op('MatMul', [m, w(b, 'weight', 6, 4)]), w(b, 'by', 4)]), ['MatMul'], matrix],
    'Gemm, BatchNormalization': [(b, m) => norm(b, b.op('Gemm', [m, w(b, 'weight', 4, 6), w(b, 'bias', 4)], { transB: 1 }), 4), ['Gemm'], matrix],
    'Gemm with alpha and beta, BatchNormalization': [(b, m) => norm(b, b.op('Gemm', [m, w(b, 'weight', 6, 4), w(b, 'bias', 4)], { alpha: 0.5, beta: 2.5 }), 4), ['Gemm'], matrix],
  }, { inputs: [floats(2, 3, 5, 5)] });

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
