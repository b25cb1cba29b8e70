import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';
import { floats, randomTensor } from '../testing.js';

const norm = (b: GraphBuilder, x: Value): Value => b.op('SimplifiedLayerNormalization', [x, b.initializer('scale', randomTensor([8], 5))], { axis: -1, epsilon: 1e-6 });
const [left, right] = [floats('n', 3, 8), floats('n', 3, 8)];

describe('fuse-skip-norm', () => {
  testRule('fuse-skip-norm', {
    'a sum that goes on': [(b, x, y) => {
      const sum = b.op('Add', [x, y]);
      return b.op('Sub', [norm(b, sum), sum]);
    }, ['com.microsoft.SkipSimplifiedLayerNormalization', 'Sub']],
    'a sum that ends there': [(b, x, y) => norm(b, b.op('Add', [x, y])), ['com.microsoft.SkipSimplifiedLayerNormalization']],
    'for other engines it stays': [(b, x, y) => norm(b, b.op('Add', [x, y])), ['Add', 'SimplifiedLayerNormalization'], { fusions: 'standard' }],
    'another shape stays': [(b, x, y) => norm(b, b.op('Add', [x, y])), ['Add', 'SimplifiedLayerNormalization'], { inputs: [left, floats(1, 3, 8)], feeds: [randomTensor([2, 3, 8]), randomTensor([1, 3, 8], 3)] }],
    'other axes stay': [(b, x, y) => b.op('SimplifiedLayerNormalization', [b.op('Add', [x, y]), b.initializer('scale', randomTensor([3, 8], 5))], { axis: -2 }), ['Add', 'SimplifiedLayerNormalization']],
  }, { fusions: 'onnxruntime', inputs: [left, right], feeds: [randomTensor([2, 3, 8]), randomTensor([2, 3, 8], 3)] });
});
