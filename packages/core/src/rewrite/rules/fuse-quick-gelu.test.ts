import { describe } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { testRule } from '../rule-cases.js';

const quick = (b: GraphBuilder, x: Value): Value => b.op('Mul', [x, b.op('Sigmoid', [b.op('Mul', [x, b.constant('float32', 1.702)])])]);

describe('fuse-quick-gelu', () => {
  testRule('fuse-quick-gelu', {
    'for ONNX Runtime': [quick, ['com.microsoft.QuickGelu'], { fusions: 'onnxruntime' }],
    'stays otherwise': [quick, ['Mul', 'Sigmoid', 'Mul']],
  });
});
