import { describe, expect, it } from 'vitest';
import { denseOf, type GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';
import type { Fusions } from '../rule.js';

const f = (b: GraphBuilder, value: number): Value => b.constant('float32', value);
const w = (b: GraphBuilder, name: string): Value => b.initializer(name, randomTensor([8], name.length));
const mean = (b: GraphBuilder, x: Value, opset: number): Value => (opset < 18 ? b.op('ReduceMean', [x], { axes: [-1] }) : b.op('ReduceMean', [x, b.constant('int64', [-1])]));

function layerNorm(b: GraphBuilder, x: Value, opset: number): Value {
  const centred = b.op('Sub', [x, mean(b, x, opset)]);
  const root = b.op('Sqrt', [b.op('Add', [mean(b, b.op('Pow', [centred, f(b, 2)]), opset), f(b, 1e-5)])]);
  return b.op('Add', [b.op('Mul', [b.op('Div', [centred, root]), w(b, 'scale')]), w(b, 'bias')]);
}

function rmsNorm(b: GraphBuilder, x: Value, opset: number): Value {
  const root = b.op('Sqrt', [b.op('Add', [mean(b, b.op('Mul', [x, x]), opset), f(b, 1e-6)])]);
  return b.op('Mul', [w(b, 'scale'), b.op('Mul', [x, b.op('Reciprocal', [root])])]);
}

const gelu = (b: GraphBuilder, x: Value): Value =>
  b.op('Mul', [b.op('Mul', [x, b.op('Add', [b.op('Erf', [b.op('Div', [x, f(b, Math.SQRT2)])]), f(b, 1)])]), f(b, 0.5)]);
const geluTanh = (b: GraphBuilder, x: Value): Value => {
  const inner = b.op('Mul', [f(b, Math.sqrt(2 / Math.PI)), b.op('Add', [x, b.op('Mul', [b.op('Pow', [x, f(b, 3)]), f(b, 0.044715)])])]);
  return b.op('Mul', [b.op('Mul', [f(b, 0.5), x]), b.op('Add', [b.op('Tanh', [inner]), f(b, 1)])]);
};
const quickGelu = (b: GraphBuilder, x: Value): Value => b.op('Mul', [x, b.op('Sigmoid', [b.op('Mul', [x, f(b, 1.702)])])]);

type Make = (b: GraphBuilder, x: Value, opset: number) => Value;
const cases: [name: string, make: Make, opset: number, fusions: Fusions, expected: string[]][] = [
  ['layer norm', layerNorm, 17, 'standard', ['LayerNormalization']],
  ['layer norm', layerNorm, 18, 'standard', ['LayerNormalization']],
  ['layer norm before opset 17', layerNorm, 15, 'onnxruntime', ['LayerNormalization']],
  ['rms norm', rmsNorm, 23, 'standard', ['RMSNormalization']],
  ['rms norm before opset 23', rmsNorm, 18, 'onnxruntime', ['SimplifiedLayerNormalization']],
  ['gelu', gelu, 20, 'standard', ['Gelu']],
  ['gelu before opset 20', gelu, 17, 'onnxruntime', ['com.microsoft.Gelu']],
  ['tanh gelu', geluTanh, 20, 'standard', ['Gelu']],
  ['tanh gelu before opset 20', geluTanh, 17, 'onnxruntime', ['com.microsoft.FastGelu']],
  ['quick gelu', quickGelu, 17, 'onnxruntime', ['com.microsoft.QuickGelu']],
];

describe('fusions', () => {
  for (const [name, make, opset, fusions, expected] of cases) {
    it(`${name}: ${expected.join()} at opset ${opset}`, async () => {
      const { ops, branch } = await rewriteBoth({ opset, options: { fusions }, build: (b, input) => make(b, b.op('Abs', [input('x', floats('n', 3, 8))]), opset), feeds: { x: randomTensor([2, 3, 8]) } });
      expect(ops).toEqual(['Abs', ...expected]);
      expect(branch).toEqual(ops);
    });
  }

  it('make nothing that the opset lacks, nor anything when they are off', async () => {
    for (const [make, opset, fusions] of [[layerNorm, 16, 'standard'], [rmsNorm, 18, 'standard'], [gelu, 17, 'standard'], [gelu, 20, 'none'], [quickGelu, 17, 'standard']] as const) {
      const { ops } = await rewriteBoth({ opset, options: { fusions }, build: (b, input) => make(b, input('x', floats(2, 3, 8)), opset) });
      expect(ops.length).toBeGreaterThan(2);
    }
  });

  it('leave a pattern alone whose middle something else reads, or whose numbers differ', async () => {
    await rewriteBoth({
      opset: 20, options: { only: ['fuse-gelu', 'fuse-layer-norm', 'dead'] }, unchanged: true,
      build: (b, input) => {
        const x = input('x', floats(2, 3, 8));
        const erf = b.op('Erf', [b.op('Div', [x, f(b, Math.SQRT2)])]);
        const wrong = b.op('Erf', [b.op('Div', [x, f(b, 1.5)])]);
        const half = (middle: Value): Value => b.op('Mul', [b.op('Mul', [x, b.op('Add', [middle, f(b, 1)])]), f(b, 0.5)]);
        return [half(erf), b.op('Neg', [erf]), half(wrong)];
      },
    });
  });

  it('a norm over another axis stays', async () => {
    const { ops } = await rewriteBoth({
      options: { only: ['fuse-layer-norm', 'dead'] },
      build: (b, input) => {
        const x = input('x', floats(2, 8, 8));
        const over = (of: Value): Value => b.op('ReduceMean', [of], { axes: [1] });
        const centred = b.op('Sub', [x, over(x)]);
        const root = b.op('Sqrt', [b.op('Add', [over(b.op('Pow', [centred, f(b, 2)])), f(b, 1e-5)])]);
        return b.op('Add', [b.op('Mul', [b.op('Div', [centred, root]), b.initializer('s', denseOf('float32', [8], [1, 2, 3, 4, 5, 6, 7, 8]))]), w(b, 'bias')]);
      },
    });
    expect(ops).not.toContain('LayerNormalization');
  });
});
