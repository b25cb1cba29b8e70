/**
 * Normalizations that exporters spell out. LayerNormalization stands in ai.onnx from opset 17 on, RMSNormalization from 23 on; ONNX
 * Runtime registers SimplifiedLayerNormalization in the default domain too (com.microsoft.SimplifiedLayerNormalization does
 * not load), so below 23 that is what `onnxruntime` fusions make.
 */
import { attribute, type AttributeInput } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { any, either, match, type Match, op, type Pattern, scalar, stored } from '../match.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** A mean over the last axis that keeps it. */
const mean = (of: Pattern, name: string): Pattern => either(op('ReduceMean', [of], { name, where: overLast }), op('ReduceMean', [of, stored(`${name}.axes`)], { name, where: overLast }));

function overLast(node: Node, c: Rewriter): boolean {
  const axes = c.axes(node);
  const rank = c.shape(node.input(0))?.length;
  return node.int('keepdims', 1) === 1 && axes?.length === 1 && (axes[0] === -1 || (rank !== undefined && axes[0] === rank - 1));
}

const square = (of: Pattern): Pattern => either(op('Pow', [of, scalar(2)]), op('Mul', [of, of]));

/** The root of a variance plus epsilon. */
const deviation = (variance: Pattern): Pattern => op('Sqrt', [op('Add', [variance, scalar(undefined, 'epsilon')])]);

/** numerator / deviation, as a quotient or as a product with the reciprocal. */
const over = (numerator: Pattern, root: Pattern): Pattern => either(
  op('Div', [numerator, root]),
  op('Mul', [numerator, op('Reciprocal', [root])]),
  op('Mul', [numerator, op('Div', [scalar(1), root])]),
);

const centred: Pattern = op('Sub', [any('x'), mean(any('x'), 'mean')], { name: 'centred' });
const layerNorm: Pattern = over(centred, deviation(mean(square(centred), 'variance')));
const rmsNorm: Pattern = over(any('x'), deviation(mean(square(any('x')), 'square')));

/** The vector of the last axis, known to be as long as it. */
function vectorOfLast(value: Value, x: Value, c: Rewriter): boolean {
  const tensor = c.weight(value);
  const last = c.shape(x)?.at(-1);
  return tensor?.shape.length === 1 && typeof last === 'number' && tensor.shape[0] === last;
}

interface Found {
  readonly x: Value;
  readonly scale: Value;
  readonly bias: Value | undefined;
  readonly epsilon: number;
}

function found(m: Match, c: Rewriter, bias: boolean): Found | undefined {
  const x = m.value('x');
  const scale = m.value('scale');
  const epsilon = c.scalar(m.value('epsilon'));
  if (epsilon === undefined || epsilon < 0 || epsilon > 0.1 || c.dtype(x) !== 'float32' || !vectorOfLast(scale, x, c)) return undefined;
  if (bias && !vectorOfLast(m.value('bias'), x, c)) return undefined;
  return { x, scale, bias: bias ? m.value('bias') : undefined, epsilon };
}

const layerNormScaled = op('Mul', [layerNorm, stored('scale')]);
const layerNormShifted = op('Add', [layerNormScaled, stored('bias')]);
const rmsNormScaled = op('Mul', [rmsNorm, stored('scale')]);

const attributes = (epsilon: number): Record<string, AttributeInput> => ({ axis: attribute.int(-1), epsilon: attribute.float(epsilon) });

/** (x − mean) / √(variance + ε) · scale + bias. */
export const fuseLayerNorm: Rule = {
  name: 'fuse-layer-norm',
  phase: 'fuse',
  ops: ['Add'],
  apply(node, c) {
    // ONNX Runtime registers it from opset 1 on, ONNX from 17 on.
    if (c.fusions === 'none' || (c.opset < 17 && c.fusions !== 'onnxruntime')) return false;
    const m = match(layerNormShifted, node, c);
    const norm = m && found(m, c, true);
    return norm !== undefined && c.become(node, 'LayerNormalization', [norm.x, norm.scale, norm.bias], attributes(norm.epsilon));
  },
};

const isCentred = (x: Value, c: Rewriter): boolean => c.producer(x, 'Sub') !== undefined && c.producer(x.producer!.input(1), 'ReduceMean') !== undefined;

/** x / √(mean of squares + ε) · scale. */
export const fuseRmsNorm: Rule = {
  name: 'fuse-rms-norm',
  phase: 'fuse',
  ops: ['Mul'],
  apply(node, c) {
    const opType = c.has('RMSNormalization') ? 'RMSNormalization' : c.fusions === 'onnxruntime' ? 'SimplifiedLayerNormalization' : undefined;
    if (c.fusions === 'none' || !opType) return false;
    const m = match(rmsNormScaled, node, c);
    // A mean subtracted before is the half of a layer norm, which may yet be found at its bias.
    const norm = m && !isCentred(m.value('x'), c) ? found(m, c, false) : undefined;
    return norm !== undefined && c.become(node, opType, [norm.x, norm.scale], attributes(norm.epsilon));
  },
};
