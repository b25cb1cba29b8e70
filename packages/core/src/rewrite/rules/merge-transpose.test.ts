import { describe } from 'vitest';
import { floats } from '../testing.js';
import { testRule } from '../rule-cases.js';

describe('merge-transpose', () => {
  testRule('merge-transpose', {
    'Transpose of Transpose': [(b, x) => b.op('Transpose', [b.op('Transpose', [x], { perm: [1, 2, 0] })], { perm: [1, 0, 2] }), ['Transpose']],
    'there and back': [(b, x) => b.op('Transpose', [b.op('Transpose', [x], { perm: [1, 2, 0] })], { perm: [2, 0, 1] }), []],
    'without perm, twice': [(b, x) => b.op('Transpose', [b.op('Transpose', [x])]), []],
    'a middle that is read elsewhere stays': [(b, x) => { const turned = b.op('Transpose', [x], { perm: [1, 2, 0] }); return b.op('Concat', [b.op('Transpose', [turned], { perm: [2, 1, 0] }), turned], { axis: 2 }); }, ['Transpose', 'Transpose', 'Concat'], { inputs: [floats(3, 3, 3)] }],
  });
});
