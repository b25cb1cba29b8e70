import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const at = (b: GraphBuilder, x: Value, i: number): Value => b.op('Gather', [x, b.constant('int64', i)]);
const list = { inputs: [floats(3)], feeds: [randomTensor([3])], allowGrowth: true };

describe('gather-unsqueeze', () => {
  testRule('gather-unsqueeze', {
    'the axis that was looked up': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', 1)], { axis: -2 }), b.constant('int64', [1])]), ['Gather']],
    'another axis stays': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', 1)], { axis: 1 }), b.constant('int64', [0])]), ['Gather', 'Unsqueeze']],
    'a product of two': [(b, x) => b.op('Unsqueeze', [b.op('Mul', [at(b, x, 0), at(b, x, 2)]), b.constant('int64', [0])]), ['Gather', 'Gather', 'Mul'], list],
    'a sum with a constant, from the end': [(b, x) => b.op('Unsqueeze', [b.op('Add', [at(b, x, 1), b.constant('float32', 2)]), b.constant('int64', [-1])]), ['Gather', 'Add'], list],
    'a product that is read elsewhere stays': [(b, x) => { const y = b.op('Mul', [at(b, x, 0), at(b, x, 2)]); return b.op('Add', [b.op('Unsqueeze', [y, b.constant('int64', [0])]), y]); }, ['Gather', 'Gather', 'Mul', 'Unsqueeze', 'Add'], list],
    'a product with what is no element stays': [(b, x) => b.op('Unsqueeze', [b.op('Mul', [at(b, x, 0), b.op('ReduceSum', [x], { keepdims: 0 })]), b.constant('int64', [0])]), ['Gather', 'ReduceSum', 'Mul', 'Unsqueeze'], list],
    'by a list stays': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', [1])], { axis: 1 }), b.constant('int64', [1])]), ['Gather', 'Unsqueeze']],
  });
});
