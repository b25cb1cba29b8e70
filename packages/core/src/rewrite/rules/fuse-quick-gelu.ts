/** x·sigmoid(α·x) with a constant α is ONNX Runtime's QuickGelu. */
import { attribute } from '../../graph/attribute.js';
import { any, match, op, scalar } from '../match.js';
import type { Rule } from '../rule.js';

const x = any('x');
const quick = op('Mul', [x, op('Sigmoid', [op('Mul', [x, scalar(undefined, 'alpha')])])]);

export const fuseQuickGelu: Rule = {
  name: 'fuse-quick-gelu',
  phase: 'fuse',
  ops: ['Mul'],
  apply(node, c) {
    if (c.fusions !== 'onnxruntime' || !c.opsets.has('com.microsoft')) return false;
    const m = match(quick, node, c);
    const alpha = m && c.scalar(m.value('alpha'));
    if (alpha === undefined || c.dtype(m!.value('x')) !== 'float32') return false;
    return c.become(node, 'QuickGelu', [m!.value('x')], { alpha: attribute.float(alpha) }, 'com.microsoft');
  },
};
