import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);

describe('merge-pad', () => {
  testRule('merge-pad', {
    'Pad of Pad': [(b, x) => b.op('Pad', [b.op('Pad', [x, ints(b, 0, 1, 0, 0, 0, 2)]), ints(b, 1, 0, 1, 0, 0, 0)]), ['Pad']],
    'one that cuts stays': [(b, x) => b.op('Pad', [b.op('Pad', [x, ints(b, 0, -1, 0, 0, 0, 2)]), ints(b, 0, 1, 0, 0, 0, 0)]), ['Pad', 'Pad']],
    'with another value stays': [(b, x) => b.op('Pad', [b.op('Pad', [x, ints(b, 0, 1, 0, 0, 0, 2)]), ints(b, 1, 0, 1, 0, 0, 0), b.constant('float32', 2)]), ['Pad', 'Pad']],
  });
});
