import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const front = (b: GraphBuilder, x: Value, axes: number[]): Value => b.op('Unsqueeze', [x, b.constant('int64', axes)]);
const two = { inputs: [floats(3, 4), floats(2, 3, 4)], feeds: [randomTensor([3, 4]), randomTensor([2, 3, 4], 2)] };

describe('broadcast-unsqueeze', () => {
  testRule('broadcast-unsqueeze', {
    'one axis in front of a smaller operand': [(b, x, y) => b.op('Sub', [front(b, x, [0]), y]), ['Sub'], two],
    'counted from the end': [(b, x, y) => b.op('Add', [y, front(b, x, [-3])]), ['Add'], two],
    'two axes, read twice': [(b, x, y) => { const u = front(b, x, [0, 1]); const z = front(b, y, [1]); return b.op('Mul', [b.op('Add', [u, z]), b.op('Max', [z, u])]); }, ['Unsqueeze', 'Add', 'Max', 'Mul'], two],
    'of a row and a column, one': [(b, x) => b.op('Less', [front(b, x, [0]), front(b, x, [1])]), ['Unsqueeze', 'Less'], { inputs: [floats(4)], feeds: [randomTensor([4])] }],
    'in front of the larger operand it stays': [(b, x, y) => b.op('Add', [x, front(b, y, [0])]), ['Unsqueeze', 'Add'], two],
    'with itself it stays': [(b, x) => { const u = front(b, x, [0]); return b.op('Mul', [u, u]); }, ['Unsqueeze', 'Mul'], two],
    'an axis between stays': [(b, x, y) => b.op('Add', [front(b, x, [1]), front(b, y, [1])]), ['Unsqueeze', 'Unsqueeze', 'Add'], two],
    'read by something else too it stays': [(b, x, y) => { const u = front(b, x, [0]); return b.op('Add', [b.op('Sub', [u, y]), b.op('ReduceSum', [u], { keepdims: 1 })]); }, ['Unsqueeze', 'Sub', 'ReduceSum', 'Add'], two],
  });
});
