import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));

describe('pad-window', () => {
  testRule('pad-window', {
    'Pad, Conv': [(b, x) => b.op('Conv', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 2, 0, 0, 0, 1])]), w(b, 'kernel', 4, 3, 3, 3)], { pads: [0, 1, 0, 1] }), ['Conv']],
    'Pad, AveragePool': [(b, x) => b.op('AveragePool', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 1, 0, 0, 1, 1])])], { kernel_shape: [3, 3] }), ['AveragePool']],
    'Pad by -Infinity, MaxPool': [(b, x) => b.op('MaxPool', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 1, 0, 0, 1, 1]), b.constant('float32', -Infinity)])], { kernel_shape: [3, 3] }), ['MaxPool']],
    'Pad by 1, Conv stays': [(b, x) => b.op('Conv', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 2, 0, 0, 0, 1]), b.constant('float32', 1)]), w(b, 'kernel', 4, 3, 3, 3)]), ['Pad', 'Conv']],
    'Pad by zeros, MaxPool stays': [(b, x) => b.op('MaxPool', [b.op('Pad', [x, b.constant('int64', [0, 0, 1, 1, 0, 0, 1, 1])])], { kernel_shape: [3, 3] }), ['Pad', 'MaxPool']],
    'padded channels stay': [(b, x) => b.op('Conv', [b.op('Pad', [x, b.constant('int64', [0, 1, 0, 0, 0, 0, 0, 0])]), w(b, 'kernel', 4, 4, 3, 3)]), ['Pad', 'Conv']],
  }, { inputs: [floats(2, 3, 5, 5)] });
});
