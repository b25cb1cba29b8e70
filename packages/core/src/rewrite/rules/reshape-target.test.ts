import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { DenseTensor } from '../../tensor.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const size = (b: GraphBuilder, x: Value, i: number): Value => b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [i])]);
const target = (b: GraphBuilder, ...parts: (Value | number)[]): Value => b.op('Concat', parts.map((part) => (typeof part === 'number' ? b.constant('int64', [part]) : part)), { axis: 0 });

describe('reshape-target', () => {
  testRule('reshape-target', {
    'sizes that stay are 0, the unknown one is -1': [(b, x) => b.op('Reshape', [x, target(b, size(b, x, 0), size(b, x, 1), 2, 3)]), ['Reshape']],
    'two unknown sizes stay computed': [(b, x) => b.op('Reshape', [x, target(b, size(b, x, 1), size(b, x, 0), 6)]), ['Shape', 'Gather', 'Shape', 'Gather', 'Concat', 'Reshape']],
    'the declared shape of a computed target is not believed': [(b, x, shape) => b.op('Reshape', [x, shape]), ['Reshape'], { inputs: [floats('n', 2), { kind: 'tensor', dtype: 'int64', shape: [2] }], feeds: [randomTensor([4, 2]), DenseTensor.of('int64', [2], BigInt64Array.from([2n, 4n]))] }],
  }, { inputs: [floats('batch', 'seq', 6)], feeds: [randomTensor([5, 4, 6])], with: ['known'] });
});
