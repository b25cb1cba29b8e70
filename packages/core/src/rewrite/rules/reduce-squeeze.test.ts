import { describe } from 'vitest';
import { testRule } from '../rule-cases.js';

describe('reduce-squeeze', () => {
  testRule('reduce-squeeze', {
    'Squeeze of what was kept': [(b, x) => b.op('Squeeze', [b.op('ReduceMean', [x], { axes: [-1] }), b.constant('int64', [2])]), ['ReduceMean']],
    'Unsqueeze of what was dropped': [(b, x) => b.op('Unsqueeze', [b.op('ReduceSum', [x, b.constant('int64', [1])], { keepdims: 0 }), b.constant('int64', [1])]), ['ReduceSum']],
    'Unsqueeze elsewhere stays': [(b, x) => b.op('Unsqueeze', [b.op('ReduceSum', [x, b.constant('int64', [1])], { keepdims: 0 }), b.constant('int64', [0])]), ['ReduceSum', 'Unsqueeze']],
  });
});
