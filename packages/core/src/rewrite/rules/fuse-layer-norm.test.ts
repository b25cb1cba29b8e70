import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const f = (b: GraphBuilder, value: number): Value => b.constant('float32', value);
const w = (b: GraphBuilder, name: string): Value => b.initializer(name, randomTensor([8], name.length));
const mean = (b: GraphBuilder, x: Value, opset: number, axis = -1): Value => (opset < 18 ? b.op('ReduceMean', [x], { axes: [axis] }) : b.op('ReduceMean', [x, b.constant('int64', [axis])]));

const layerNorm = (opset: number, axis = -1) => (b: GraphBuilder, x: Value): Value => {
  const centred = b.op('Sub', [x, mean(b, x, opset, axis)]);
  const root = b.op('Sqrt', [b.op('Add', [mean(b, b.op('Pow', [centred, f(b, 2)]), opset, axis), f(b, 1e-5)])]);
  return b.op('Add', [b.op('Mul', [b.op('Div', [centred, root]), w(b, 'scale')]), w(b, 'bias')]);
};
const apart = ['ReduceMean', 'Sub', 'Pow', 'ReduceMean', 'Add', 'Sqrt', 'Div', 'Mul', 'Add'];

describe('fuse-layer-norm', () => {
  testRule('fuse-layer-norm', {
    'opset 17': [layerNorm(17), ['LayerNormalization']],
    'opset 18, axes as an input': [layerNorm(18), ['LayerNormalization'], { opset: 18 }],
    'before opset 17, for ONNX Runtime': [layerNorm(15), ['LayerNormalization'], { opset: 15, fusions: 'onnxruntime' }],
    'before opset 17 stays': [layerNorm(16), apart, { opset: 16 }],
    'no fusions, stays': [layerNorm(17), apart, { fusions: 'none' }],
    'over another axis stays': [layerNorm(17, 1), apart],
  }, { inputs: [floats('n', 3, 8)], feeds: [randomTensor([2, 3, 8])] });
});
