import { describe } from 'vitest';
import { testRule } from '../rule-cases.js';

describe('gather-unsqueeze', () => {
  testRule('gather-unsqueeze', {
    'the axis that was looked up': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', 1)], { axis: -2 }), b.constant('int64', [1])]), ['Gather']],
    'another axis stays': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', 1)], { axis: 1 }), b.constant('int64', [0])]), ['Gather', 'Unsqueeze']],
    'by a list stays': [(b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', [1])], { axis: 1 }), b.constant('int64', [1])]), ['Gather', 'Unsqueeze']],
  });
});
