/** Finds the point of a front: the best that fits a size, or the smallest that a measurement lets pass. */
import { judge, smallLoss } from './gate.js';
import { type FrontPoint, withinBytes, withinLoss } from './pareto-front.js';
import type { StandardModel, TriedModel } from './trials.js';

/** Measures of a point; a model is built for each, so there are few. */
export interface Measured {
  /** What the whole model counts as. */
  readonly bytes: number;
  readonly passed: boolean;
}

/** How often a model is built before the best that was seen is taken. */
const TRIES = 7;

/**
 * The point of least loss whose file is no larger than `bytes`. Files hold more than the weights that are chosen: `fixed` bytes, corrected by
 * what is measured. Undefined when even the smallest is larger.
 */
export async function fitSize(front: readonly FrontPoint[], bytes: number, fixed: number, measure: (point: FrontPoint) => Promise<Measured>): Promise<FrontPoint | undefined> {
  let budget = bytes - fixed;
  for (let i = 0; i < TRIES; i++) {
    const point = withinBytes(front, budget);
    if (!point) return undefined;
    const measured = await measure(point);
    if (measured.bytes <= bytes) return point;
    budget = Math.min(point.bytes - 1, budget - (measured.bytes - bytes));
  }
  return undefined;
}

/**
 * The smallest point that passes, by bisection from where the loss is predicted to be `expected`, until the sizes left differ by no more
 * than the share `precision`. Takes it for granted that larger points lose less. Undefined when the point of least loss does not pass.
 */
export async function smallestPassing(front: readonly FrontPoint[], expected: number, measure: (point: FrontPoint) => Promise<Measured>, precision = 0): Promise<FrontPoint | undefined> {
  let low = -1;
  let high = front.length;
  const first = withinLoss(front, expected);
  let next = first ? front.indexOf(first) : front.length - 1;
  const isClose = (): boolean => high < front.length && front[high]!.bytes - front[Math.max(0, low)]!.bytes <= precision * front[high]!.bytes;
  for (let i = 0; i < TRIES && low + 1 < high && !isClose(); i++) {
    if ((await measure(front[next]!)).passed) high = next;
    else low = next;
    // Predictions are off by a factor at most times: look at a quarter and at four times the loss before halving what is left.
    next = i === 0 ? near(front, front[next]!.loss * (high === next ? 2 : 0.5), low, high) : Math.floor((low + high) / 2);
  }
  if (high < front.length) return front[high];
  const last = front.at(-1);
  return last && low < front.length - 1 && (await measure(last)).passed ? last : undefined;
}

/** The first point of no more than this loss, within the bounds that are left. */
function near(front: readonly FrontPoint[], loss: number, low: number, high: number): number {
  const found = front.findIndex((point) => point.loss <= loss);
  const index = found === -1 ? front.length - 1 : found;
  return Math.min(Math.max(index, low + 1), Math.max(low + 1, high - 1));
}

export interface SearchLimits {
  readonly maxLoss: number | undefined;
  readonly targetBytes: number | undefined;
}

/**
 * Of the models whose weights are all treated alike those to take instead of a mixture, the best first: for a size the ones that lose
 * less, for a loss the smaller ones.
 */
export function betterStandards(standards: readonly StandardModel[], mixed: TriedModel | undefined, { maxLoss, targetBytes }: SearchLimits): StandardModel[] {
  const passing = standards.filter(({ tried }) => judge(tried.comparison, maxLoss).passed && tried.bytes <= (targetBytes ?? Infinity));
  const cost = ({ bytes, comparison }: TriedModel): number => (targetBytes === undefined ? bytes : smallLoss(comparison));
  // A mixture that does not pass itself is no competition when only the loss counts.
  const limit = !mixed || (targetBytes === undefined && !judge(mixed.comparison, maxLoss).passed) ? Infinity : cost(mixed);
  return passing.filter(({ tried }) => cost(tried) < limit).sort((a, b) => cost(a.tried) - cost(b.tried));
}
