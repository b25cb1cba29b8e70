import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const size = (b: GraphBuilder, x: Value, i: number): Value => b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [i])]);
const target = (b: GraphBuilder, ...parts: (Value | number)[]): Value => b.op('Concat', parts.map((part) => (typeof part === 'number' ? b.constant('int64', [part]) : part)), { axis: 0 });

describe('expand-target', () => {
  testRule('expand-target', {
    'a size that is there already is 1': [(b, x) => b.op('Expand', [x, target(b, size(b, x, 0), 3, 6)]), ['Expand']],
    'a size of something else stays computed': [(b, x, y) => b.op('Expand', [x, target(b, size(b, y, 0), 1, 3, 6)]), ['Shape', 'Gather', 'Concat', 'Expand'], { inputs: [floats('batch', 1, 6), floats('more', 6)], feeds: [randomTensor([5, 1, 6]), randomTensor([2, 6])] }],
  }, { inputs: [floats('batch', 1, 6)], feeds: [randomTensor([5, 1, 6])], with: ['known'] });
});
