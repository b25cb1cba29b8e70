/** Whether a smaller model is good enough: one figure that fits the model, against what may be lost. */
import type { Comparison } from '@penjing/runtime';

export interface Judgement {
  /**
   * `perplexity`: by how much of itself it rose. `accuracy`: by how much the share of right answers fell. `output`: the error of the
   * worst output over what it should be, both as roots of mean squares.
   */
  readonly metric: 'perplexity' | 'accuracy' | 'output';
  /** 0.01 is one hundredth; Infinity for a model that computes no numbers. Below zero for one that got better. */
  readonly loss: number;
  /** Absent limits let everything pass that computes numbers. */
  readonly passed: boolean;
}

export function judge(comparison: Comparison, maxLoss: number | undefined): Judgement {
  const { metric, loss } = lossOf(comparison);
  const known = Number.isNaN(loss) ? Infinity : loss;
  return { metric, loss: known, passed: known <= (maxLoss ?? Number.MAX_VALUE) };
}

function lossOf({ a, b, snrDb }: Comparison): Pick<Judgement, 'metric' | 'loss'> {
  if (a.perplexity !== undefined && b.perplexity !== undefined) return { metric: 'perplexity', loss: b.perplexity / a.perplexity - 1 };
  if (a.accuracy !== undefined && b.accuracy !== undefined) return { metric: 'accuracy', loss: snrDb === -Infinity ? Infinity : a.accuracy - b.accuracy };
  return { metric: 'output', loss: 10 ** (-snrDb / 20) };
}

/** What rounding one layer changed, as a figure that adds up over layers: KL of the predictions, or energy of the error over that of the outputs. */
export function smallLoss({ klDivergence, snrDb }: Comparison): number {
  return klDivergence ?? 10 ** (-snrDb / 10);
}

/** How small the additive loss has to become, as a share of what it is, for a model that lost too much to pass. */
export function neededShare({ metric, loss }: Judgement, maxLoss: number): number {
  const share = { perplexity: () => Math.log1p(maxLoss) / Math.log1p(loss), output: () => (maxLoss / loss) ** 2, accuracy: () => 0.5 }[metric]();
  // measurements are noisy: neither nearly nothing nor everything at once
  return Math.min(0.9, Math.max(0.25, Number.isFinite(share) ? share : 0.25));
}

/** For people: `1.25 %`. */
export function lossPercent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(2)} %` : 'everything';
}

/** What a model says of its gate, in its own metadata and in the manifest of its folder. */
export function describeGate({ metric, loss, passed }: Judgement, maxLoss: number | undefined): string {
  const allowed = maxLoss === undefined ? '' : ` (${lossPercent(maxLoss)} allowed)`;
  return `${passed ? 'passed' : 'FAILED'}: loses ${lossPercent(loss)} of ${metric} on held-out samples${allowed}`;
}
