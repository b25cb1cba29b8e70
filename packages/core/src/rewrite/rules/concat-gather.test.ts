import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);

describe('concat-gather', () => {
  testRule('concat-gather', {
    'neighbours': [(b, x) => b.op('Concat', [b.op('Gather', [x, ints(b, 2)], { axis: 1 }), b.op('Gather', [x, ints(b, 0)], { axis: 1 })], { axis: 1 }), ['Gather']],
    'neighbours among others': [(b, x) => b.op('Concat', [x, b.op('Gather', [x, ints(b, 2)], { axis: 1 }), b.op('Gather', [x, ints(b, 0, 1)], { axis: 1 })], { axis: 1 }), ['Gather', 'Concat']],
    'along another axis stays': [(b, x) => b.op('Concat', [b.op('Gather', [x, ints(b, 2)], { axis: 1 }), b.op('Gather', [x, ints(b, 0)], { axis: 1 })], { axis: 2 }), ['Gather', 'Gather', 'Concat']],
  });
});
