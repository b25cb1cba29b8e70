import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const f = (b: GraphBuilder, value: number): Value => b.constant('float32', value);
const scores = (b: GraphBuilder, x: Value): Value => b.op('MatMul', [x, b.op('Transpose', [x], { perm: [0, 2, 1] })]); // (2, 3, 3)
const some = (b: GraphBuilder, x: Value): Value => b.op('Greater', [b.op('ReduceMax', [x], { axes: [-1] }), f(b, 1)]);
const guarded = (b: GraphBuilder, x: Value): Value => { const weights = b.op('Softmax', [x], { axis: -1 }); return b.op('Where', [b.op('IsNaN', [weights]), f(b, 0), weights]); };
const decomposed = (b: GraphBuilder, x: Value): Value => {
  const weights = b.op('Softmax', [x], { axis: -1 });
  const seen = b.op('Not', [b.op('Equal', [x, f(b, -Infinity)])]);
  const any = b.op('Cast', [b.op('ReduceMax', [b.op('Cast', [seen], { to: 6 })], { axes: [-1] })], { to: 9 });
  return b.op('Where', [b.op('Not', [any]), f(b, 0), weights]);
};

describe('softmax-guard', () => {
  testRule('softmax-guard', {
    'scores without a bias': [(b, x) => guarded(b, scores(b, x)), ['Transpose', 'MatMul', 'Softmax']],
    'as a decomposition writes it': [(b, x) => decomposed(b, scores(b, x)), ['Transpose', 'MatMul', 'Softmax']],
    'a finite bias': [(b, x) => guarded(b, b.op('Add', [scores(b, x), b.op('Where', [some(b, x), f(b, 0), f(b, -1e9)])])), ['Transpose', 'MatMul', 'ReduceMax', 'Greater', 'Where', 'Add', 'Softmax']],
    'a stored mask with a key in every row': [(b, x) => guarded(b, b.op('Where', [b.constant('bool', [1, 0, 0, 1, 1, 0, 0, 0, 1], [3, 3]), scores(b, x), f(b, -Infinity)])), ['Transpose', 'MatMul', 'Where', 'Softmax']],
    'a stored mask with an empty row stays': [(b, x) => guarded(b, b.op('Where', [b.constant('bool', [1, 0, 0, 0, 0, 0, 0, 0, 1], [3, 3]), scores(b, x), f(b, -Infinity)])), ['Transpose', 'MatMul', 'Where', 'Softmax', 'IsNaN', 'Where']],
    'a computed mask stays': [(b, x) => guarded(b, b.op('Where', [some(b, x), scores(b, x), f(b, -Infinity)])), ['ReduceMax', 'Greater', 'Transpose', 'MatMul', 'Where', 'Softmax', 'IsNaN', 'Where']],
    'what is no product stays': [(b, x) => guarded(b, b.op('Log', [x])), ['Log', 'Softmax', 'IsNaN', 'Where']],
  });
});
