import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const reshape = (b: GraphBuilder, x: Value, ...shape: number[]): Value => b.op('Reshape', [x, b.constant('int64', shape)]);

describe('batched-matmul', () => {
  testRule('batched-matmul', {
    'both sides merged': [(b, x, y) => reshape(b, b.op('MatMul', [reshape(b, x, -1, 4, 5), reshape(b, y, -1, 5, 6)]), 2, 3, 4, 6), ['MatMul']],
    'of an unknown batch': [(b, x, y) => reshape(b, b.op('MatMul', [reshape(b, x, -1, 4, 5), reshape(b, y, -1, 5, 6)]), -1, 3, 4, 6), ['MatMul'], { inputs: [floats('n', 3, 4, 5), floats('n', 3, 5, 6)], feeds: [randomTensor([2, 3, 4, 5]), randomTensor([2, 3, 5, 6])] }],
    'one side merged': [(b, x, y) => reshape(b, b.op('MatMul', [reshape(b, x, -1, 4, 5), y]), 2, 3, 4, 6), ['Reshape', 'MatMul'], { inputs: [floats(2, 3, 4, 5), floats(6, 5, 6)] }],
    'taken apart otherwise stays': [(b, x, y) => reshape(b, b.op('MatMul', [reshape(b, x, -1, 4, 5), reshape(b, y, -1, 5, 6)]), 3, 2, 4, 6), ['Reshape', 'Reshape', 'MatMul', 'Reshape']],
    'rows merged too stays': [(b, x, y) => reshape(b, b.op('MatMul', [reshape(b, x, 2, 12, 5), y]), 2, 3, 4, 6), ['Reshape', 'MatMul', 'Reshape'], { inputs: [floats(2, 3, 4, 5), floats(2, 5, 6)] }],
  }, { inputs: [floats(2, 3, 4, 5), floats(2, 3, 5, 6)] });
});
