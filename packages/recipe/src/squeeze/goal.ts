/** What a squeeze is after: a size or a share of zeros, a loss that may not be passed, and the kinds of ways to get there. */
import { PenjingError } from '@penjing/core';
import type { WeightLosses } from '@penjing/core/calibrate';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { type Candidate, type KindName, kinds } from './kinds.js';

export interface GoalOptions {
  /** Share of the size of the float model, or bytes. */
  readonly targetSize?: { readonly share: number } | { readonly bytes: number } | undefined;
  /** Share of the weights of matrices that shall become zero. */
  readonly targetSparsity?: number | undefined;
  /** What may be lost on the held-out samples: of perplexity or of the outputs as a share, of accuracy in hundredths; 0.01 is 1 %. */
  readonly maxLoss?: number | undefined;
  /** Kinds of ways to make a weight smaller; integers when absent, zeros when a share of them is the target. */
  readonly methods?: readonly KindName[] | undefined;
}

export interface Goal extends GoalOptions {
  readonly methods: readonly KindName[];
  /** What is to become small: the file, or the weights that are not zero. */
  readonly counts: 'size' | 'weights';
}

export const squeezeMethods = Object.keys(kinds) as readonly KindName[];

/** Throws `E_OPTION` without a target, and for targets and methods that do not go together. */
export function goalOf({ targetSize, targetSparsity, maxLoss, methods: asked }: GoalOptions): Goal {
  if (targetSize === undefined && targetSparsity === undefined && maxLoss === undefined) throw new PenjingError('E_OPTION', 'squeezing needs a target', { hint: 'Give --target-size 25%, or --max-loss 1%, or both.' });
  if (targetSize !== undefined && targetSparsity !== undefined) throw new PenjingError('E_OPTION', 'a size and a share of zeros are two targets: zeros make no file smaller', { hint: 'Give one of --target-size and --target-sparsity.' });
  const methods = asked ?? (targetSparsity === undefined ? ['int'] : ['sparse']);
  const [counts, ...others] = new Set(methods.map((name) => kinds[name].saves));
  if (counts === undefined || others.length > 0) throw new PenjingError('E_OPTION', `${methods.join(', ') || 'no method'}: zeros make no file smaller, so they are searched for by themselves`, { hint: 'Give --methods int,palette or --methods sparse.' });
  if (counts === 'weights' ? targetSize !== undefined : targetSparsity !== undefined) {
    throw new PenjingError('E_OPTION', `${methods.join(', ')} cannot reach ${counts === 'weights' ? 'a size: zeros make no file smaller' : 'a share of zeros'}`, { hint: counts === 'weights' ? 'Give --target-sparsity.' : 'Give --target-size, or --methods sparse.' });
  }
  return { targetSize, targetSparsity, maxLoss, methods, counts };
}

/** What the model may count as; undefined when only the loss does. */
export function targetBytesOf({ targetSize, targetSparsity }: Goal, bytesBefore: number, weights: readonly WeightLosses<Candidate>[]): number | undefined {
  if (targetSparsity !== undefined) return bytesBefore - targetSparsity * treatableBytes(weights);
  return targetSize && ('bytes' in targetSize ? targetSize.bytes : Math.floor(targetSize.share * bytesBefore));
}

/** Of the weights that can be treated at all. */
export function treatableBytes(weights: readonly WeightLosses<Candidate>[]): number {
  return weights.reduce((sum, { bytes, candidates }) => sum + (candidates.length > 0 ? bytes : 0), 0);
}

export interface Standard {
  readonly steps: readonly RecipeStep[];
  /** What it counts as, when that is not the size of the file. */
  readonly bytes?: number;
}

/** What everyone does. Integer convolutions and activations are for models that are no decoders, whose outputs they would ruin. */
export function standards(goal: Goal, { calibration, language, bytesBefore, weights }: { readonly calibration: Calibrated; readonly language: boolean; readonly bytesBefore: number; readonly weights: readonly WeightLosses<Candidate>[] }): Readonly<Record<string, Standard>> {
  const one = (step: RecipeStep): Standard => ({ steps: [step] });
  if (goal.counts === 'weights') {
    const share = goal.methods.includes('2:4') ? 0.5 : (goal.targetSparsity ?? 0.5);
    const names = weights.flatMap(({ name, candidates }) => (candidates.length > 0 ? [name] : []));
    const how = goal.methods.includes('2:4') ? { pattern: '2:4' } : { sparsity: share };
    const only = { layers: [{ match: names, ...how }, { match: ['/^/'], method: 'none' as const }] };
    return names.length === 0 ? {} : { [`uniform ${how.pattern ?? `${Math.round(100 * share)} % zeros`}`]: { steps: [{ prune: { method: 'sparsegpt', ...how, ...calibration, ...only } }], bytes: bytesBefore - share * treatableBytes(weights) } };
  }
  return {
    [INT8]: one({ quantize: { bits: 8, blockSize: 32 } }),
    'uniform int4': one({ quantize: { bits: 4, blockSize: 32 } }),
    ...(language
      ? { 'uniform int4, asymmetric': one({ quantize: { bits: 4, blockSize: 32, symmetric: false } }) }
      : { 'half precision': one({ cast: { dtype: 'float16' } }), 'dynamic int8': one({ quantizeDynamic: {} }), 'static int8': one({ quantizeStatic: calibration }) }),
  };
}

export const INT8 = 'uniform int8';
