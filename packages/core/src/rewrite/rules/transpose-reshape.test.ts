import { describe } from 'vitest';
import { floats } from '../testing.js';
import { testRule } from '../rule-cases.js';

describe('transpose-reshape', () => {
  testRule('transpose-reshape', {
    'beside a Reshape, which takes both': [(b, x) => b.op('Transpose', [b.op('Reshape', [x, b.constant('int64', [6, 1, 4])])], { perm: [1, 0, 2] }), ['Reshape'], { with: ['merge-reshape'] }],
    'of longer axes stays': [(b, x) => b.op('Transpose', [b.op('Reshape', [x, b.constant('int64', [6, 2, 2])])], { perm: [1, 0, 2] }), ['Reshape', 'Transpose']],
    'alone stays': [(b, x) => b.op('Transpose', [b.op('Exp', [x])], { perm: [1, 0, 2] }), ['Exp', 'Transpose'], { inputs: [floats(1, 3, 4)] }],
  });
});
