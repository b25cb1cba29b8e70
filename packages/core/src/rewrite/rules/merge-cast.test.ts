import { describe } from 'vitest';
import { testRule } from '../rule-cases.js';

describe('merge-cast', () => {
  testRule('merge-cast', {
    'through a wider type': [(b, x) => b.op('Cast', [b.op('Cast', [x], { to: 11 })], { to: 1 }), []],
    'to a third type': [(b, x) => b.op('Cast', [b.op('Cast', [b.op('Cast', [x], { to: 6 })], { to: 7 })], { to: 1 }), ['Cast', 'Cast']],
    'through a narrower type stays': [(b, x) => b.op('Cast', [b.op('Cast', [x], { to: 6 })], { to: 1 }), ['Cast', 'Cast']],
  });
});
