import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const axesOf = (b: GraphBuilder, opset: number, list: number[]): { more: Value[]; attributes: Record<string, number[]> } =>
  (opset < 13 ? { more: [], attributes: { axes: list } } : { more: [b.constant('int64', list)], attributes: {} });
const un = (b: GraphBuilder, opset: number, opType: string, x: Value, list: number[]): Value => { const { more, attributes } = axesOf(b, opset, list); return b.op(opType, [x, ...more], attributes); };

describe('merge-unsqueeze', () => {
  testRule('merge-unsqueeze', {
    'Unsqueeze of Unsqueeze, opset 11': [(b, x) => un(b, 11, 'Unsqueeze', un(b, 11, 'Unsqueeze', x, [1, 3]), [0, 2]), ['Unsqueeze'], { opset: 11 }],
    'Unsqueeze of Unsqueeze from the end, opset 11': [(b, x) => un(b, 11, 'Unsqueeze', un(b, 11, 'Unsqueeze', x, [-1]), [-2]), ['Unsqueeze'], { opset: 11 }],
    'Squeeze of Unsqueeze, opset 11': [(b, x) => un(b, 11, 'Squeeze', un(b, 11, 'Unsqueeze', x, [1]), [1]), [], { opset: 11 }],
    'Squeeze of Squeeze, opset 11': [(b, x) => un(b, 11, 'Squeeze', un(b, 11, 'Squeeze', b.op('Reshape', [x, b.constant('int64', [1, 24, 1, 1])]), [0]), [2]), ['Reshape', 'Squeeze'], { opset: 11 }],
    'Squeeze of another axis stays, opset 11': [(b, x) => un(b, 11, 'Squeeze', un(b, 11, 'Unsqueeze', b.op('Reshape', [x, b.constant('int64', [1, 24])]), [2]), [0]), ['Reshape', 'Unsqueeze', 'Squeeze'], { opset: 11 }],
    'Unsqueeze of Unsqueeze, opset 17': [(b, x) => un(b, 17, 'Unsqueeze', un(b, 17, 'Unsqueeze', x, [1, 3]), [0, 2]), ['Unsqueeze'], { opset: 17 }],
    'Unsqueeze of Unsqueeze from the end, opset 17': [(b, x) => un(b, 17, 'Unsqueeze', un(b, 17, 'Unsqueeze', x, [-1]), [-2]), ['Unsqueeze'], { opset: 17 }],
    'Squeeze of Unsqueeze, opset 17': [(b, x) => un(b, 17, 'Squeeze', un(b, 17, 'Unsqueeze', x, [1]), [1]), [], { opset: 17 }],
    'Squeeze of Squeeze, opset 17': [(b, x) => un(b, 17, 'Squeeze', un(b, 17, 'Squeeze', b.op('Reshape', [x, b.constant('int64', [1, 24, 1, 1])]), [0]), [2]), ['Reshape', 'Squeeze'], { opset: 17 }],
    'Squeeze of another axis stays, opset 17': [(b, x) => un(b, 17, 'Squeeze', un(b, 17, 'Unsqueeze', b.op('Reshape', [x, b.constant('int64', [1, 24])]), [2]), [0]), ['Reshape', 'Unsqueeze', 'Squeeze'], { opset: 17 }],
  });
});
