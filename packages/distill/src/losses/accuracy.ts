/** What is measured of a classifier beside its loss. */
import { type Loss, shapeOf } from './loss.js';

export interface AccuracyOptions {
  /** Output of the model, (…, classes); `logits` when absent. */
  readonly logits?: string;
  /** Input that is added, int64 (…); `labels` when absent. Those below 0 count as wrong. */
  readonly labels?: string;
}

/** Share of the elements whose largest score is that of their label. No gradient: it is measured, not minimized. */
export function accuracy({ logits = 'logits', labels = 'labels' }: AccuracyOptions = {}): Loss {
  return ({ b, value, input }) => {
    const scores = value(logits);
    const found = b.op('ArgMax', [scores], { axis: -1, keepdims: 0 });
    const right = b.op('Cast', [b.op('Equal', [found, input(labels, 'int64', shapeOf(scores).slice(0, -1))])], { to: 1 });
    return b.op('ReduceMean', [right], { keepdims: 0 });
  };
}
