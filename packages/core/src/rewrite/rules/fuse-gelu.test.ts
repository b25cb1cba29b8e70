import { describe, it } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';
import { floats, rewriteBoth } from '../testing.js';

const f = (b: GraphBuilder, value: number): Value => b.constant('float32', value);
const gelu = (b: GraphBuilder, x: Value, root = Math.SQRT2): Value =>
  b.op('Mul', [b.op('Mul', [x, b.op('Add', [b.op('Erf', [b.op('Div', [x, f(b, root)])]), f(b, 1)])]), f(b, 0.5)]);
const tanh = (b: GraphBuilder, x: Value): Value => {
  const inner = b.op('Mul', [f(b, Math.sqrt(2 / Math.PI)), b.op('Add', [x, b.op('Mul', [b.op('Pow', [x, f(b, 3)]), f(b, 0.044715)])])]);
  return b.op('Mul', [b.op('Mul', [f(b, 0.5), x]), b.op('Add', [b.op('Tanh', [inner]), f(b, 1)])]);
};
const apart = ['Div', 'Erf', 'Add', 'Mul', 'Mul'];

describe('fuse-gelu', () => {
  testRule('fuse-gelu', {
    'by erf': [(b, x) => gelu(b, x), ['Gelu'], { opset: 20 }],
    'by erf before opset 20, for ONNX Runtime': [(b, x) => gelu(b, x), ['com.microsoft.Gelu'], { fusions: 'onnxruntime' }],
    'by tanh': [tanh, ['Gelu'], { opset: 20 }],
    'by tanh before opset 20, for ONNX Runtime': [tanh, ['com.microsoft.FastGelu'], { fusions: 'onnxruntime' }],
    'before opset 20 stays': [(b, x) => gelu(b, x), apart],
    'no fusions, stays': [(b, x) => gelu(b, x), apart, { opset: 20, fusions: 'none' }],
    'another number stays': [(b, x) => gelu(b, x, 1.5), apart, { opset: 20 }],
  });

  it('leaves a pattern alone whose middle something else reads', async () => {
    await rewriteBoth({
      opset: 20, options: { only: ['fuse-gelu', 'dead'] }, unchanged: true,
      build: (b, input) => {
        const x = input('x', floats(2, 3, 8));
        const erf = b.op('Erf', [b.op('Div', [x, f(b, Math.SQRT2)])]);
        return [b.op('Mul', [b.op('Mul', [x, b.op('Add', [erf, f(b, 1)])]), f(b, 0.5)]), b.op('Neg', [erf])];
      },
    });
  });
});
