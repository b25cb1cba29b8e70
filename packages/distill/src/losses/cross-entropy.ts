/** Learning from labels. */
import { PenjingError } from '@penjing/core';
import { type Loss, shapeOf } from './loss.js';

export interface CrossEntropyOptions {
  /** Output of the model, (…, classes); `logits` when absent. */
  readonly logits?: string;
  /** Input that is added, int64 (…); `labels` when absent. */
  readonly labels?: string;
  /** Elements with this label do not count; −100 when absent. */
  readonly ignore?: number;
}

/** Mean of −log p(label), in nats, over the elements that count. */
export function crossEntropy({ logits = 'logits', labels = 'labels', ignore = -100 }: CrossEntropyOptions = {}): Loss {
  return ({ b, value, input }) => {
    const scores = value(logits);
    const shape = shapeOf(scores);
    const classes = shape.at(-1);
    if (typeof classes !== 'number') throw new PenjingError('E_SHAPE', `the number of classes of ${logits} is not known`);
    const flat = b.op('Reshape', [input(labels, 'int64', shape.slice(0, -1)), b.constant('int64', [-1])]);
    return b.op('SoftmaxCrossEntropyLoss', [b.op('Reshape', [scores, b.constant('int64', [-1, classes])]), flat], { ignore_index: ignore });
  };
}
