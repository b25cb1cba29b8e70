/** x / √(mean of squares + ε) · scale is RMSNormalization. */
import type { Value } from '../../graph/value.js';
import { any, match, op, type Pattern, stored } from '../match.js';
import { deviation, mean, normAttributes, normOf, over, square } from '../norm-pattern.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

const rmsNorm: Pattern = over(any('x'), deviation(mean(square(any('x')), 'square')));
const rmsNormScaled = op('Mul', [rmsNorm, stored('scale')]);

const isCentred = (x: Value, c: Rewriter): boolean => c.producer(x, 'Sub') !== undefined && c.producer(x.producer!.input(1), 'ReduceMean') !== undefined;

/**
 * RMSNormalization stands in ai.onnx from opset 23 on. ONNX Runtime registers SimplifiedLayerNormalization in the default domain too
 * (com.microsoft.SimplifiedLayerNormalization does not load), so below 23 that is what `onnxruntime` fusions make.
 */
export const fuseRmsNorm: Rule = {
  name: 'fuse-rms-norm',
  phase: 'fuse',
  ops: ['Mul'],
  apply(node, c) {
    const opType = c.has('RMSNormalization') ? 'RMSNormalization' : c.fusions === 'onnxruntime' ? 'SimplifiedLayerNormalization' : undefined;
    if (c.fusions === 'none' || !opType) return false;
    const m = match(rmsNormScaled, node, c);
    // A mean subtracted before is the half of a layer norm, which may yet be found at its bias.
    const norm = m && !isCentred(m.value('x'), c) ? normOf(m, c, false) : undefined;
    return norm !== undefined && c.become(node, opType, [norm.x, norm.scale], normAttributes(norm.epsilon));
  },
};
