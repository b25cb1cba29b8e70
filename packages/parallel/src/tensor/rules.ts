/** The one table of sharding rules. An operator without a rule is listed by name, so a new operator cannot be forgotten. */
import type { OpName } from '@penjing/core';
import type { ShardingRules } from './rule.js';
import { attentionRules } from './rules/attention.js';
import { contribRules } from './rules/contrib.js';
import { convRules } from './rules/conv.js';
import { elementwiseRules } from './rules/elementwise.js';
import { linalgRules } from './rules/linalg.js';
import { movementRules } from './rules/movement.js';
import { normRules } from './rules/norm.js';
import { quantRules } from './rules/quant.js';
import { reduceRules } from './rules/reduce.js';

const rules = {
  ...elementwiseRules, ...linalgRules, ...movementRules, ...reduceRules, ...normRules, ...convRules, ...quantRules, ...attentionRules, ...contribRules,
};

export const shardingRules: ShardingRules = rules;

/** Operators that every shard runs on all of their inputs. */
export const withoutRule = [
  'BitCast', 'SwiGLU', 'NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss', 'CenterCropPad', 'Col2Im', 'Compress', 'Constant', 'ConstantOfShape',
  'DepthToSpace', 'EyeLike', 'GatherElements', 'NonZero', 'OneHot', 'Range', 'ReverseSequence', 'Scatter', 'ScatterElements', 'Size', 'SpaceToDepth',
  'TensorScatter', 'Unique', 'Det', 'AffineGrid', 'DeformConv', 'GridSample', 'MaxRoiPool', 'MaxUnpool', 'NonMaxSuppression', 'RoiAlign', 'Upsample',
  'CausalConvWithState', 'LinearAttention', 'GRU', 'LSTM', 'RNN', 'If', 'Loop', 'Scan', 'DynamicQuantizeLinear', 'ConcatFromSequence', 'Optional',
  'OptionalGetElement', 'OptionalHasElement', 'SequenceAt', 'SequenceConstruct', 'SequenceEmpty', 'SequenceErase', 'SequenceInsert', 'SequenceLength',
  'SequenceMap', 'SplitToSequence', 'RegexFullMatch', 'StringConcat', 'StringNormalizer', 'StringSplit', 'TfIdfVectorizer', 'Bernoulli',
  'BlackmanWindow', 'DFT', 'HammingWindow', 'HannWindow', 'ImageDecoder', 'MelWeightMatrix', 'Multinomial', 'RandomNormal', 'RandomNormalLike',
  'RandomUniform', 'RandomUniformLike', 'STFT', 'com.microsoft.BeamSearch', 'com.microsoft.BiasAdd', 'com.microsoft.BiasSoftmax',
  'com.microsoft.BiasSplitGelu', 'com.microsoft.ComplexMul', 'com.microsoft.ConvTransposeWithDynamicPads',
  'com.microsoft.DecoderMaskedMultiHeadAttention', 'com.microsoft.DecoderMaskedSelfAttention', 'com.microsoft.DynamicQuantizeLSTM',
  'com.microsoft.EmbedLayerNormalization', 'com.microsoft.ExpandDims', 'com.microsoft.GatedRelativePositionBias', 'com.microsoft.GatherND',
  'com.microsoft.GemmaRotaryEmbedding', 'com.microsoft.GreedySearch', 'com.microsoft.GridSample', 'com.microsoft.GroupNorm', 'com.microsoft.Inverse',
  'com.microsoft.Irfft', 'com.microsoft.IsAllFinite', 'com.microsoft.LongformerAttention', 'com.microsoft.MatMulBnb4', 'com.microsoft.MatMulFpQ4',
  'com.microsoft.MatMulInteger16', 'com.microsoft.MaxpoolWithMask', 'com.microsoft.MulInteger', 'com.microsoft.MurmurHash3',
  'com.microsoft.NGramRepeatBlock', 'com.microsoft.NhwcConv', 'com.microsoft.NhwcFusedConv', 'com.microsoft.NhwcMaxPool',
  'com.microsoft.PackedAttention', 'com.microsoft.PackedMultiHeadAttention', 'com.microsoft.Pad', 'com.microsoft.PagedAttention',
  'com.microsoft.QAttention', 'com.microsoft.QEmbedLayerNormalization', 'com.microsoft.QGemm', 'com.microsoft.QLinearConcat',
  'com.microsoft.QLinearReduceMean', 'com.microsoft.QLinearSoftmax', 'com.microsoft.QLinearWhere', 'com.microsoft.Range',
  'com.microsoft.ReduceSumInteger', 'com.microsoft.RelativePositionBias', 'com.microsoft.RemovePadding', 'com.microsoft.RestorePadding',
  'com.microsoft.Rfft', 'com.microsoft.SampleOp', 'com.microsoft.Sampling', 'com.microsoft.SkipGroupNorm', 'com.microsoft.SkipLayerNormalization',
  'com.microsoft.SkipSimplifiedLayerNormalization', 'com.microsoft.SparseAttention', 'com.microsoft.SparseToDenseMatMul', 'com.microsoft.SwiGLU',
  'com.microsoft.Tokenizer', 'com.microsoft.Unique', 'com.microsoft.WhisperBeamSearch', 'com.microsoft.WordConvEmbedding',
] as const satisfies readonly Exclude<OpName, keyof typeof rules | `ai.onnx.ml.${string}`>[];

/** Fails to compile when an operator is in neither list. */
type Forgotten = Exclude<OpName, keyof typeof rules | (typeof withoutRule)[number] | `ai.onnx.ml.${string}`>;
export const nothingForgotten: Forgotten extends never ? true : Forgotten = true;
