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
