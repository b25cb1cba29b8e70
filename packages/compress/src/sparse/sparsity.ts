/** How sparse weights shall be: a share of them, or so many of every few. */
import { PenjingError, type SparseRule } from '@penjing/core';

export interface SparsityOptions {
  /** Share of the weights that become 0, above 0 and below 1. */
  readonly sparsity?: number;
  /** `2:4`: of every 4 neighbouring inputs of an output, 2 stay. Instead of `sparsity`. */
  readonly pattern?: string;
}

/** A share of zeros, or so many kept of every group of inputs. */
export type Sparsity = { readonly kind: 'share'; readonly share: number } | Extract<SparseRule, { kind: 'pattern' }>;

/** Longer groups are no pattern that hardware or papers know. */
const LONGEST = 64;

/** Throws `E_OPTION` unless exactly one of the two is given, and possible. */
export function sparsityOf({ sparsity, pattern }: SparsityOptions): Sparsity {
  if ((sparsity === undefined) === (pattern === undefined)) {
    throw new PenjingError('E_OPTION', sparsity === undefined ? 'how sparse the weights shall be is not said' : 'sparsity and pattern exclude each other', {
      hint: 'Give --sparsity 0.5 for half of the weights, or --pattern 2:4 for two of every four.',
    });
  }
  if (sparsity !== undefined) {
    if (!(sparsity > 0 && sparsity < 1)) throw new PenjingError('E_OPTION', `a sparsity of ${sparsity}: more than none and fewer than all weights can become 0`, { hint: 'Half of the weights: 0.5.' });
    return { kind: 'share', share: sparsity };
  }
  const match = /^(\d{1,2}):(\d{1,2})$/.exec(pattern!);
  const [keep, of] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
  if (!(keep >= 1 && keep < of && of <= LONGEST)) throw new PenjingError('E_OPTION', `${pattern} is no pattern`, { hint: `Two of every four weights: 2:4. Groups have at most ${LONGEST} weights.` });
  return { kind: 'pattern', keep, of };
}

/** `50 %` or `2:4`. */
export function describeSparsity(sparsity: Sparsity): string {
  return sparsity.kind === 'share' ? `${Number((100 * sparsity.share).toFixed(2))} %` : `${sparsity.keep}:${sparsity.of}`;
}

/** Zeros that a pattern makes in rows of `cols` weights, as a share; a last, short group keeps what it can. */
export function patternShare({ keep, of }: { readonly keep: number; readonly of: number }, cols: number): number {
  const rest = cols % of;
  return (((cols - rest) / of) * (of - keep) + Math.max(0, rest - keep)) / Math.max(1, cols);
}
