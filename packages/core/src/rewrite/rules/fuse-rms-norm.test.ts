import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, randomTensor } from '../testing.js';
import { testRule } from '../rule-cases.js';

const f = (b: GraphBuilder, value: number): Value => b.constant('float32', value);
const w = (b: GraphBuilder, name: string): Value => b.initializer(name, randomTensor([8], name.length));
const mean = (b: GraphBuilder, x: Value, opset: number): Value => (opset < 18 ? b.op('ReduceMean', [x], { axes: [-1] }) : b.op('ReduceMean', [x, b.constant('int64', [-1])]));

const rmsNorm = (opset: number) => (b: GraphBuilder, x: Value): Value => {
  const root = b.op('Sqrt', [b.op('Add', [mean(b, b.op('Mul', [x, x]), opset), f(b, 1e-6)])]);
  return b.op('Mul', [w(b, 'scale'), b.op('Mul', [x, b.op('Reciprocal', [root])])]);
};

describe('fuse-rms-norm', () => {
  testRule('fuse-rms-norm', {
    'opset 23': [rmsNorm(23), ['RMSNormalization'], { opset: 23 }],
    'before opset 23, for ONNX Runtime': [rmsNorm(18), ['SimplifiedLayerNormalization'], { opset: 18, fusions: 'onnxruntime' }],
    'before opset 23 stays': [rmsNorm(18), ['Mul', 'ReduceMean', 'Add', 'Sqrt', 'Reciprocal', 'Mul', 'Mul'], { opset: 18 }],
  }, { inputs: [floats('n', 3, 8)], feeds: [randomTensor([2, 3, 8])] });
});
