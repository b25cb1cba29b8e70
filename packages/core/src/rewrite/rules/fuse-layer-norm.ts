/** (x − mean) / √(variance + ε) · scale + bias is LayerNormalization, in ai.onnx from opset 17 on. */
import { any, match, op, type Pattern, stored } from '../match.js';
import { deviation, mean, normAttributes, normOf, over, square } from '../norm-pattern.js';
import type { Rule } from '../rule.js';

const centred: Pattern = op('Sub', [any('x'), mean(any('x'), 'mean')], { name: 'centred' });
const layerNorm: Pattern = over(centred, deviation(mean(square(centred), 'variance')));
const layerNormScaled = op('Mul', [layerNorm, stored('scale')]);
const layerNormShifted = op('Add', [layerNormScaled, stored('bias')]);

export const fuseLayerNorm: Rule = {
  name: 'fuse-layer-norm',
  phase: 'fuse',
  ops: ['Add'],
  apply(node, c) {
    // ONNX Runtime registers it from opset 1 on, ONNX from 17 on.
    if (c.fusions === 'none' || (c.opset < 17 && c.fusions !== 'onnxruntime')) return false;
    const m = match(layerNormShifted, node, c);
    const norm = m && normOf(m, c, true);
    return norm !== undefined && c.become(node, 'LayerNormalization', [norm.x, norm.scale, norm.bias], normAttributes(norm.epsilon));
  },
};
