import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const list = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);
const slice = (b: GraphBuilder, x: Value, start: number, end: number, axis: number, step = 1): Value => b.op('Slice', [x, list(b, start), list(b, end), list(b, axis), list(b, step)]);

describe('merge-slice', () => {
  testRule('merge-slice', {
    'different axes': [(b, x) => slice(b, slice(b, x, 1, 3, 1), -1, -4, 2, -2), ['Slice']],
    'the same axis stays': [(b, x) => slice(b, slice(b, x, 1, 3, 1), 0, 1, 1), ['Slice', 'Slice']],
    'by attributes': [(b, x) => b.op('Slice', [b.op('Slice', [x], { starts: [1], ends: [3], axes: [1] })], { starts: [0], ends: [2], axes: [2] }), ['Slice'], { opset: 9 }],
    'a middle that is read elsewhere stays': [(b, x) => { const cut = slice(b, x, 0, 1, 0); return b.op('Concat', [slice(b, cut, 0, 1, 2), cut], { axis: 2 }); }, ['Slice', 'Slice', 'Concat']],
  });
});
