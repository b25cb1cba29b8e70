/** The one table of shape rules. An operator without a rule is listed by name, so a new operator cannot be forgotten. */
import type { OpName } from '../ops/lookup.js';
import { attentionRules } from './attention.js';
import { contribRules } from './contrib.js';
import { controlRules } from './control.js';
import { convRules } from './conv.js';
import { elementwiseRules } from './elementwise.js';
import { linalgRules } from './linalg.js';
import { movementRules } from './movement.js';
import { normRules } from './norm.js';
import { quantRules } from './quant.js';
import { recurrentRules } from './recurrent.js';
import { reduceRules } from './reduce.js';
import type { InferRule } from './rule.js';
import { sequenceRules } from './sequence.js';
import { signalRules } from './signal.js';

const rules = {
  ...elementwiseRules, ...reduceRules, ...movementRules, ...linalgRules, ...convRules, ...normRules, ...attentionRules,
  ...recurrentRules, ...controlRules, ...quantRules, ...sequenceRules, ...signalRules, ...contribRules,
};

export const inferRules: { readonly [Op in OpName]?: InferRule } = rules;

type Without<Known, Prefix extends string> = Exclude<Extract<OpName, `${Prefix}.${string}`>, keyof Known>;

/** Operators whose outputs keep only the types that their declarations tie to inputs. */
export const withoutRule = [
  'com.microsoft.BeamSearch', 'com.microsoft.GreedySearch', 'com.microsoft.Sampling', 'com.microsoft.WhisperBeamSearch',
  'com.microsoft.ConvTransposeWithDynamicPads', 'com.microsoft.DecoderMaskedSelfAttention', 'com.microsoft.DynamicQuantizeLSTM',
  'com.microsoft.GatedRelativePositionBias', 'com.microsoft.GemmaRotaryEmbedding', 'com.microsoft.GridSample',
  'com.microsoft.Irfft', 'com.microsoft.LongformerAttention', 'com.microsoft.MaxpoolWithMask', 'com.microsoft.MurmurHash3',
  'com.microsoft.NhwcConv', 'com.microsoft.NhwcFusedConv', 'com.microsoft.NhwcMaxPool', 'com.microsoft.PackedAttention',
  'com.microsoft.PackedMultiHeadAttention', 'com.microsoft.QEmbedLayerNormalization', 'com.microsoft.RelativePositionBias',
  'com.microsoft.RemovePadding', 'com.microsoft.RestorePadding', 'com.microsoft.Rfft', 'com.microsoft.SampleOp',
  'com.microsoft.SparseToDenseMatMul', 'com.microsoft.Tokenizer', 'com.microsoft.WordConvEmbedding',
] as const satisfies readonly Without<typeof rules, 'com.microsoft'>[];

/** Fails to compile when an operator is in neither list. */
type Forgotten = Exclude<OpName, keyof typeof rules | (typeof withoutRule)[number] | `ai.onnx.ml.${string}`>;
export const nothingForgotten: Forgotten extends never ? true : Forgotten = true;
