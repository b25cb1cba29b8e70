import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const w = (b: GraphBuilder, name: string, ...shape: number[]): Value => b.initializer(name, randomTensor(shape, name.length + shape.length));

describe('merge-constants', () => {
  testRule('merge-constants', {
    'Mul, Div': [(b, x) => b.op('Div', [b.op('Mul', [x, b.constant('float32', 3)]), w(b, 'by', 3, 1)]), ['Mul']],
    'Add, Sub': [(b, x) => b.op('Sub', [b.op('Add', [b.constant('float32', 3), x]), w(b, 'by', 4)]), ['Add']],
    'Add, Mul stays': [(b, x) => b.op('Mul', [b.op('Add', [x, b.constant('float32', 3)]), b.constant('float32', 3)]), ['Add', 'Mul']],
    'different shapes stay': [(b, x) => b.op('Mul', [b.op('Mul', [x, w(b, 'by', 3, 1)]), w(b, 'more', 4)]), ['Mul', 'Mul']],
  });
});
