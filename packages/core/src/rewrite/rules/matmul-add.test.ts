import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));

describe('matmul-add', () => {
  testRule('matmul-add', {
    'a vector': [(b, m) => b.op('Add', [b.op('MatMul', [m, w(b, 'weight', 6, 4)]), w(b, 'bias', 4)]), ['Gemm']],
    'a row, first': [(b, m) => b.op('Add', [w(b, 'bias', 1, 4), b.op('MatMul', [m, w(b, 'weight', 6, 4)])]), ['Gemm']],
    'a computed matrix stays': [(b, m) => b.op('Add', [b.op('MatMul', [m, b.op('Transpose', [m], { perm: [1, 0] })]), w(b, 'bias', 3)]), ['Transpose', 'MatMul', 'Add']],
    'a column stays': [(b, m) => b.op('Add', [b.op('MatMul', [m, w(b, 'weight', 6, 4)]), w(b, 'bias', 3, 1)]), ['MatMul', 'Add']],
    'rank 3 stays': [(b, x) => b.op('Add', [b.op('MatMul', [x, w(b, 'weight', 6, 4)]), w(b, 'bias', 4)]), ['MatMul', 'Add'], { inputs: [floats(2, 3, 6)] }],
  }, { inputs: [floats(3, 6)] });
});
