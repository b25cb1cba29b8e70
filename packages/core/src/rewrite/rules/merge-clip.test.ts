import { describe } from 'vitest';
import { attribute } from '../../graph/attribute.js';
import { testRule } from '../rule-cases.js';

describe('merge-clip', () => {
  testRule('merge-clip', {
    'Relu, Clip': [(b, x) => b.op('Clip', [b.op('Relu', [x]), b.constant('float32', -1), b.constant('float32', 0.5)]), ['Clip']],
    'Relu, Relu': [(b, x) => b.op('Relu', [b.op('Relu', [x])]), ['Relu']],
    'Clip, Relu': [(b, x) => b.op('Relu', [b.op('Clip', [x, b.constant('float32', -0.5)])]), ['Relu']],
    'Clip, Clip by attributes': [(b, x) => b.op('Clip', [b.op('Clip', [x], { min: attribute.float(0.2) })], { max: attribute.float(0.7) }), ['Clip'], { opset: 10 }],
    'a computed bound stays': [(b, x) => b.op('Clip', [b.op('Relu', [x]), b.op('ReduceMin', [x], { keepdims: 0 })]), ['Relu', 'ReduceMin', 'Clip']],
  });
});
