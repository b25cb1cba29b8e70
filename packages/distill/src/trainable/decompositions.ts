/** The one table of fused operators and what they become. */
import type { OpName } from '@penjing/core';
import type { Decomposition } from './decomposition.js';
import { biasAdd, biasGelu, fusedConv, fusedGemm, swiGlu } from './decompositions/activations.js';
import { groupQueryAttention, multiHeadAttention, packedAttention, standardAttention } from './decompositions/attention.js';
import { embedLayerNormalization, skipLayerNormalization, skipSimplifiedLayerNormalization } from './decompositions/norms.js';

const table = {
  Attention: standardAttention,
  SwiGLU: swiGlu,
  'com.microsoft.Attention': packedAttention,
  'com.microsoft.BiasAdd': biasAdd,
  'com.microsoft.BiasGelu': biasGelu,
  'com.microsoft.EmbedLayerNormalization': embedLayerNormalization,
  'com.microsoft.FusedConv': fusedConv,
  'com.microsoft.FusedGemm': fusedGemm,
  'com.microsoft.GroupQueryAttention': groupQueryAttention,
  'com.microsoft.MultiHeadAttention': multiHeadAttention,
  'com.microsoft.SkipLayerNormalization': skipLayerNormalization,
  'com.microsoft.SkipSimplifiedLayerNormalization': skipSimplifiedLayerNormalization,
} as const satisfies Partial<Record<OpName, Decomposition>>;

export const decompositions: Readonly<Partial<Record<string, Decomposition>>> = table;
