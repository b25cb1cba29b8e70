/** The one table of gradients. An operator without a gradient is listed by name, so a new operator cannot be forgotten. */
import type { OpName } from '@penjing/core';
import type { GradientRule } from './rule.js';
import { convGradients } from './rules/conv.js';
import { elementwiseGradients } from './rules/elementwise.js';
import { gatherNDGradients } from './rules/gather-nd.js';
import { linalgGradients } from './rules/linalg.js';
import { movementGradients } from './rules/movement.js';
import { normGradients } from './rules/norm.js';
import { quantizedGradients } from './rules/quantized.js';
import { reduceGradients } from './rules/reduce.js';
import { resizeGradients } from './rules/resize.js';
import { rotaryGradients } from './rules/rotary.js';

const rules = { ...elementwiseGradients, ...reduceGradients, ...movementGradients, ...linalgGradients, ...convGradients, ...normGradients, ...rotaryGradients, ...gatherNDGradients, ...resizeGradients, ...quantizedGradients };

export const gradientRules: Readonly<Partial<Record<string, GradientRule>>> = rules;

/** Operators through which nothing flows back: their outputs are integers, booleans or constants, or do not change with small changes of the input. */
const constants = [
  'And', 'ArgMax', 'ArgMin', 'BitCast', 'BitShift', 'BitwiseAnd', 'BitwiseNot', 'BitwiseOr', 'BitwiseXor', 'Ceil', 'Constant', 'ConstantOfShape', 'Equal', 'EyeLike', 'Floor',
  'Greater', 'GreaterOrEqual', 'Hardmax', 'IsInf', 'IsNaN', 'Less', 'LessOrEqual', 'NonMaxSuppression', 'NonZero', 'Not', 'OneHot', 'Or', 'RandomNormal', 'RandomNormalLike',
  'RandomUniform', 'RandomUniformLike', 'Range', 'Round', 'Shape', 'Sign', 'Size', 'Xor', 'Bernoulli', 'Multinomial', 'BlackmanWindow', 'HammingWindow', 'HannWindow', 'MelWeightMatrix',
  'OptionalHasElement', 'SequenceLength', 'RegexFullMatch', 'StringConcat', 'StringNormalizer', 'StringSplit', 'TfIdfVectorizer', 'ImageDecoder', 'com.microsoft.IsAllFinite', 'com.microsoft.Range',
] as const satisfies readonly OpName[];

export const constantOperators: ReadonlySet<string> = new Set(constants);

/** Operators whose gradient is missing: training names them before it starts. */
export const withoutGradient = [
  'Attention', 'CausalConvWithState', 'LinearAttention', 'GRU', 'LSTM', 'RNN', 'If', 'Loop', 'Scan',
  'ConvInteger', 'DynamicQuantizeLinear', 'MatMulInteger', 'QLinearConv', 'QLinearMatMul',
  'ConcatFromSequence', 'Optional', 'OptionalGetElement', 'SequenceAt', 'SequenceConstruct', 'SequenceEmpty', 'SequenceErase', 'SequenceInsert', 'SequenceMap', 'SplitToSequence',
  'DFT', 'STFT', 'CumProd', 'Mod', 'SwiGLU', 'Det', 'CenterCropPad', 'Col2Im', 'Compress',
  'ReverseSequence', 'Scatter', 'TensorScatter', 'Unique', 'AffineGrid', 'DeformConv', 'GlobalLpPool', 'GridSample', 'LpPool', 'MaxRoiPool',
  'MaxUnpool', 'RoiAlign', 'Upsample', 'LRN',
] as const satisfies readonly OpName[];

/** Fails to compile when an operator of ai.onnx is in no list; those of com.microsoft are decomposed first or reported when they are met. */
type Forgotten = Exclude<OpName, keyof typeof rules | (typeof constants)[number] | (typeof withoutGradient)[number] | `com.microsoft.${string}` | `ai.onnx.ml.${string}`>;
export const nothingForgotten: Forgotten extends never ? true : Forgotten = true;
