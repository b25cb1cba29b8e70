/** @penjing/compress: the vocabulary of compression as projection; the passes come with the compression release. */
export { lowRank, type LowRankOptions } from './low-rank/low-rank.js';
export type { RankOptions } from './low-rank/rank-rule.js';
import type { Pass, Tensor } from '@penjing/core';

/** What a compressed weight may look like. */
export type ConstraintSet =
  | { readonly kind: 'sparse'; readonly sparsity: number; readonly scope: 'layer' | 'global' }
  | { readonly kind: 'pattern'; readonly keep: number; readonly of: number }
  | { readonly kind: 'structured'; readonly unit: 'channels' | 'heads' | 'ffn' | 'layers'; readonly ratio: number }
  | { readonly kind: 'rank'; readonly rank: number }
  | { readonly kind: 'codebook'; readonly entries: number };

/**
 * How the distance to the original weight is measured: ½‖w − w*‖² (identity), weighted per input by activation norms
 * (diagonal, shape (inputs)), or by the Hessian XᵀX of the layer's inputs (inputs, inputs).
 */
export type Metric =
  | { readonly kind: 'identity' }
  | { readonly kind: 'diagonal'; readonly weights: Tensor }
  | { readonly kind: 'hessian'; readonly hessian: Tensor };

/** A compressor: the pass that projects the weights of a model onto a constraint set under a metric. */
export type Compressor = (constraint: ConstraintSet, options?: { readonly exclude?: readonly (string | RegExp)[] }) => Pass;
