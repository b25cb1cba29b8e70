import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);

describe('merge-concat', () => {
  testRule('merge-concat', {
    'Concat of Concat': [(b, x) => b.op('Concat', [x, b.op('Concat', [x, x], { axis: -1 })], { axis: 2 }), ['Concat']],
    'along another axis stays': [(b, x) => b.op('Concat', [b.op('Concat', [x, x], { axis: 1 }), b.op('Concat', [x, x], { axis: 1 })], { axis: 2 }), ['Concat', 'Concat', 'Concat']],
    'of a Split': [(b, x) => b.op('Concat', b.nodes('Split', [x, ints(b, 1, 3)], { axis: 2 }, { outputCount: 2 }), { axis: 2 }), []],
    'of a Split the other way round stays': [(b, x) => b.op('Concat', b.nodes('Split', [x, ints(b, 1, 3)], { axis: 2 }, { outputCount: 2 }).reverse(), { axis: 2 }), ['Split', 'Concat']],
  });
});
