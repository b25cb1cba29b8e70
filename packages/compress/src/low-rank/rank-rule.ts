/** How many directions of a matrix are kept: options in, a rule out. */
import { PenjingError } from '@penjing/core';
import type { Spectrum } from './factor-job.js';

export interface RankOptions {
  /** So many directions of every matrix. */
  readonly rank?: number;
  /** Weights that stay, as a share of those of the matrix: rank = ratio · rows · cols / (rows + cols). */
  readonly ratio?: number;
  /** The smallest rank that keeps this share of ‖w‖², in the metric of the method. */
  readonly energy?: number;
  /**
   * `layer`: the ratio holds for every matrix. `global`: for all of them together, and ranks go where they take away the largest share of
   * a matrix per stored weight. `layer` when absent.
   */
  readonly scope?: 'layer' | 'global';
}

/** What a matrix gives to choose by. */
export interface RankCandidate {
  readonly rows: number;
  readonly cols: number;
  readonly spectrum: Pick<Spectrum, 'energies' | 'energy'>;
}

export interface RankRule {
  readonly description: string;
  /** All spectra are needed before any rank is chosen. */
  readonly global: boolean;
  /** How many directions must be computed. */
  readonly needed: (rows: number, cols: number) => number;
  /** The ranks; undefined where the matrix is better left as it is. */
  readonly choose: (candidates: readonly RankCandidate[]) => readonly (number | undefined)[];
}

/** The largest rank whose factors store less than the matrix. */
export function largestRank(rows: number, cols: number): number {
  return Math.ceil((rows * cols) / (rows + cols)) - 1;
}

/** Throws `E_OPTION` unless exactly one of rank, ratio and energy is given, within its bounds. */
export function rankRule({ rank, ratio, energy, scope = 'layer' }: RankOptions): RankRule {
  const given = [rank, ratio, energy].filter((value) => value !== undefined);
  if (given.length !== 1) throw new PenjingError('E_OPTION', 'one of rank, ratio and energy says how much is kept', { hint: 'For example --rank-ratio 0.5.' });
  if (scope === 'global' && ratio === undefined) throw new PenjingError('E_OPTION', 'a budget for all matrices together is a ratio', { hint: 'Give --rank-ratio with --global.' });
  const each = (choose: (candidate: RankCandidate) => number): RankRule['choose'] => (candidates) => candidates.map((candidate) => useful(choose(candidate), candidate));
  if (rank !== undefined) {
    if (!Number.isInteger(rank) || rank < 1) throw new PenjingError('E_OPTION', `a rank of ${rank}: a whole number of at least 1 is needed`);
    return { description: `rank ${rank}`, global: false, needed: (rows, cols) => Math.min(rank, largestRank(rows, cols)), choose: each(() => rank) };
  }
  const share = (ratio ?? energy)!;
  if (!(share > 0 && share < 1)) throw new PenjingError('E_OPTION', `${ratio === undefined ? 'an energy' : 'a ratio'} of ${share}: more than 0 and less than 1 is possible`);
  if (ratio === undefined) return { description: `energy ${share}`, global: false, needed: largestRank, choose: each(({ spectrum }) => rankOfEnergy(spectrum, share)) };
  if (scope === 'global') return { description: `ratio ${share} of all`, global: true, needed: largestRank, choose: (candidates) => spend(candidates, share) };
  const of = (rows: number, cols: number): number => Math.max(1, Math.floor((share * rows * cols) / (rows + cols)));
  return { description: `ratio ${share}`, global: false, needed: (rows, cols) => Math.min(of(rows, cols), largestRank(rows, cols)), choose: each(({ rows, cols }) => of(rows, cols)) };
}

function useful(rank: number, { rows, cols }: RankCandidate): number | undefined {
  return rank <= largestRank(rows, cols) ? rank : undefined;
}

function rankOfEnergy({ energies, energy }: RankCandidate['spectrum'], share: number): number {
  let kept = 0;
  for (let rank = 0; rank < energies.length; rank++) {
    kept += energies[rank]!;
    if (kept >= share * energy) return rank + 1;
  }
  return energy === 0 ? 1 : Infinity;
}

/**
 * Directions of all matrices, the largest share of their matrix per stored weight first, until the weights are spent. Shares, because
 * outputs of different layers are not measured in the same units. A matrix whose next direction would make its factors as large as
 * itself stays as it is, if that can be paid.
 */
function spend(candidates: readonly RankCandidate[], ratio: number): (number | undefined)[] {
  const ranks: (number | undefined)[] = candidates.map(({ rows, cols }) => (largestRank(rows, cols) >= 1 ? 1 : undefined));
  let left = ratio * candidates.reduce((sum, { rows, cols }) => sum + rows * cols, 0) - candidates.reduce((sum, { rows, cols }, i) => sum + (ranks[i] === undefined ? rows * cols : rows + cols), 0);
  const steps = candidates.flatMap(({ rows, cols, spectrum: { energies, energy } }, matrix) =>
    Array.from(energies, (value, direction) => ({ matrix, direction, gain: energy === 0 ? 0 : value / energy / (rows + cols) })).slice(1),
  );
  steps.sort((a, b) => b.gain - a.gain || a.matrix - b.matrix || a.direction - b.direction);
  for (const { matrix, direction } of steps) {
    const { rows, cols } = candidates[matrix]!;
    if (ranks[matrix] !== direction) continue;
    if (rows + cols > left) continue;
    left -= rows + cols;
    ranks[matrix] = direction + 1;
  }
  candidates.forEach(({ rows, cols, spectrum: { energies } }, i) => {
    const rest = rows * cols - energies.length * (rows + cols);
    if (ranks[i] !== energies.length || rest > left) return;
    left -= rest;
    ranks[i] = undefined;
  });
  return ranks;
}
