/** The Gaussian error linear unit, exact (erf) or with tanh, is one operator. */
import { attribute } from '../../graph/attribute.js';
import { any, either, match, op, type Pattern, scalar } from '../match.js';
import type { Rule } from '../rule.js';

const x = any('x');

/** Half of x times something, in whatever order it is multiplied. */
const halfTimes = (of: Pattern): Pattern => either(
  op('Mul', [op('Mul', [x, scalar(0.5)]), of]),
  op('Mul', [op('Mul', [x, of]), scalar(0.5)]),
  op('Mul', [x, op('Mul', [of, scalar(0.5)])]),
  op('Mul', [op('Div', [x, scalar(2)]), of]),
);

const scaledRoot = either(op('Div', [x, scalar(Math.SQRT2)]), op('Mul', [x, scalar(Math.SQRT1_2)]));
const exact = halfTimes(op('Add', [op('Erf', [scaledRoot]), scalar(1)]));

const cube = either(op('Pow', [x, scalar(3)]), op('Mul', [op('Mul', [x, x]), x]), op('Mul', [x, op('Pow', [x, scalar(2)])]));
const inner = either(
  op('Mul', [op('Add', [x, op('Mul', [cube, scalar(0.044715)])]), scalar(Math.sqrt(2 / Math.PI))]),
  // √(2/π)·x·(1 + 0.044715·x²)
  op('Mul', [op('Mul', [x, scalar(Math.sqrt(2 / Math.PI))]), op('Add', [op('Mul', [op('Mul', [x, scalar(0.044715)]), x]), scalar(1)])]),
  op('Mul', [op('Add', [op('Mul', [op('Mul', [x, x]), scalar(0.044715)]), scalar(1)]), op('Mul', [x, scalar(Math.sqrt(2 / Math.PI))])]),
);
const tanh = halfTimes(op('Add', [op('Tanh', [inner]), scalar(1)]));

/** Gelu of ai.onnx from opset 20 on, before that com.microsoft.Gelu and com.microsoft.FastGelu for `onnxruntime` fusions. */
export const fuseGelu: Rule = {
  name: 'fuse-gelu',
  phase: 'fuse',
  ops: ['Mul'],
  apply(node, c) {
    const standard = c.has('Gelu');
    if (c.fusions === 'none' || (!standard && (c.fusions !== 'onnxruntime' || !c.opsets.has('com.microsoft')))) return false;
    const kind = match(exact, node, c) ? 'none' : 'tanh';
    const m = match(kind === 'none' ? exact : tanh, node, c);
    if (!m || c.dtype(m.value('x')) !== 'float32') return false;
    if (standard) return c.become(node, 'Gelu', [m.value('x')], { approximate: attribute.string(kind) });
    return c.become(node, kind === 'none' ? 'Gelu' : 'FastGelu', [m.value('x')], {}, 'com.microsoft');
  },
};
