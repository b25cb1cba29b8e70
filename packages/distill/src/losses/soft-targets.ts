/** Learning from the probabilities of a teacher. */
import type { Value } from '@penjing/core';
import { dtypeOf, type Loss, maskedMean, shapeOf } from './loss.js';

export interface SoftTargetsOptions {
  /** Output of the student, (…, classes); `logits` when absent. */
  readonly logits?: string;
  /** Input that is added: the teacher's logits, of the same shape; `teacher/LOGITS` when absent. */
  readonly teacher?: string;
  /** Divides the logits of both, and the loss is multiplied by its square, which keeps gradients of the same size; 1 when absent. */
  readonly temperature?: number;
  /** Input of ones and zeros, (…): elements that count. An input of the model or one that is added; all count when absent. */
  readonly mask?: string;
}

/** T² KL(teacher ‖ student), in nats, the mean over elements (Hinton, Vinyals and Dean 2015, arXiv:1503.02531). */
export function softTargets({ logits = 'logits', teacher = `teacher/${logits}`, temperature = 1, mask }: SoftTargetsOptions = {}): Loss {
  return (context) => {
    const { b, value, input } = context;
    const student = value(logits);
    const target = input(teacher, dtypeOf(student), shapeOf(student));
    const soft = (scores: Value): Value => (temperature === 1 ? scores : b.op('Mul', [scores, b.op('CastLike', [b.constant('float32', 1 / temperature), scores])]));
    const [ours, theirs] = [student, target].map((scores) => b.op('LogSoftmax', [soft(scores)], { axis: -1 })) as [Value, Value];
    const divergence = b.op('ReduceSum', [b.op('Mul', [b.op('Exp', [theirs]), b.op('Sub', [theirs, ours])]), b.constant('int64', [-1])], { keepdims: 0 });
    const mean = maskedMean(context, divergence, shapeOf(student).slice(0, -1), mask);
    return temperature === 1 ? mean : b.op('Mul', [mean, b.op('CastLike', [b.constant('float32', temperature ** 2), mean])]);
  };
}
