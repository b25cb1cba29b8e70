import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));

describe('gemm-add', () => {
  testRule('gemm-add', {
    'without bias, beta was not used': [(b, m) => b.op('Add', [w(b, 'bias', 1, 4), b.op('Gemm', [m, w(b, 'weight', 6, 4)], { alpha: 0.5, beta: 2.5 })]), ['Gemm']],
    'one that has a bias stays': [(b, m) => b.op('Add', [w(b, 'plus', 4), b.op('Gemm', [m, w(b, 'weight', 6, 4), w(b, 'bias', 4)])]), ['Gemm', 'Add']],
    'a matrix stays': [(b, m) => b.op('Add', [b.op('Gemm', [m, w(b, 'weight', 6, 4)]), w(b, 'bias', 3, 4)]), ['Gemm', 'Add']],
  }, { inputs: [floats(3, 6)] });
});
