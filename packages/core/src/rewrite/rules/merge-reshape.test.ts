import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const axesOf = (b: GraphBuilder, opset: number, list: number[]): { more: Value[]; attributes: Record<string, number[]> } =>
  (opset < 13 ? { more: [], attributes: { axes: list } } : { more: [b.constant('int64', list)], attributes: {} });
const un = (b: GraphBuilder, opset: number, opType: string, x: Value, list: number[]): Value => { const { more, attributes } = axesOf(b, opset, list); return b.op(opType, [x, ...more], attributes); };

describe('merge-reshape', () => {
  testRule('merge-reshape', {
    'Reshape of Reshape, opset 11': [(b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [6, 4])]), b.constant('int64', [4, -1])]), ['Reshape'], { opset: 11 }],
    'Flatten of Unsqueeze, opset 11': [(b, x) => b.op('Flatten', [un(b, 11, 'Unsqueeze', x, [0])], { axis: 2 }), ['Reshape'], { opset: 11 }],
    'there and back, opset 11': [(b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [24])]), b.constant('int64', [2, 3, 4])]), [], { opset: 11 }],
    'Reshape of Reshape, opset 17': [(b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [6, 4])]), b.constant('int64', [4, -1])]), ['Reshape'], { opset: 17 }],
    'Flatten of Unsqueeze, opset 17': [(b, x) => b.op('Flatten', [un(b, 17, 'Unsqueeze', x, [0])], { axis: 2 }), ['Reshape'], { opset: 17 }],
    'there and back, opset 17': [(b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [24])]), b.constant('int64', [2, 3, 4])]), [], { opset: 17 }],
    'what something else reads stays': [(b, x) => { const flat = b.op('Reshape', [x, b.constant('int64', [24])]); return b.op('Add', [b.op('Reshape', [flat, b.constant('int64', [24, 1])]), flat]); }, ['Reshape', 'Reshape', 'Add']],
  });
});
