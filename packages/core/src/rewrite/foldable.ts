/** Which nodes give the same outputs for the same inputs and may therefore be computed once. */
import type { Node } from '../graph/node.js';
import { isPlain } from './rewriter.js';

/** Draw numbers; without a `seed` attribute they differ from run to run, with one from engine to engine. */
const RANDOM: ReadonlySet<string> = new Set([
  'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike', 'Multinomial', 'Bernoulli',
]);

/** Two such nodes with equal inputs are one. */
export function isDeterministic(node: Node): boolean {
  if (node.domain !== '' || RANDOM.has(node.opType)) return node.domain === 'ai.onnx.ml' || SAFE_CONTRIB.has(node.opType);
  // Dropout in training draws its mask; inference Dropout has no third input.
  return node.opType !== 'Dropout' || node.inputs.length < 3;
}

/** Operators of com.microsoft that are pure functions of their inputs; the rest of other domains is not known to be. */
const SAFE_CONTRIB: ReadonlySet<string> = new Set([
  'Gelu', 'FastGelu', 'QuickGelu', 'BiasGelu', 'SkipLayerNormalization', 'FusedMatMul', 'DequantizeLinear', 'QuantizeLinear',
  'MatMulNBits', 'Inverse', 'Trilu', 'QLinearAdd', 'QLinearMul', 'QLinearSigmoid', 'QLinearLeakyRelu', 'QLinearConcat',
]);

/**
 * Dequantized weights are several times larger, and runtimes look for the pair around an operator to run it on integers.
 * Sequences and optionals are no stored values; large weights are edited lazily instead.
 */
const NEVER: ReadonlySet<string> = new Set([
  'Constant', 'DequantizeLinear', 'DynamicQuantizeLinear', 'SequenceEmpty', 'SequenceConstruct', 'SequenceInsert', 'SequenceErase', 'SequenceAt', 'SequenceLength',
  'SplitToSequence', 'ConcatFromSequence', 'SequenceMap', 'Optional', 'OptionalHasElement', 'OptionalGetElement', 'If', 'Loop', 'Scan', 'ImageDecoder',
]);

export function isFoldable(node: Node): boolean {
  return node.domain === '' && !NEVER.has(node.opType) && isDeterministic(node) && isPlain(node) && node.inputs.length > 0 && node.subgraphs().length === 0;
}
