/** PyTorch gives 0 where a row of attention sees no key; where every row provably sees one, the guard goes. */
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { sameDims } from '../../infer/dims.js';
import { attentionScores } from '../attention-parts.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';
import { everyRowSees } from '../score-bias.js';

/** `IsNaN(weights)`, or `Not(any(scores ≠ -Infinity))` as the decomposition of `_safe_softmax` writes it. */
function asksForEmptyRows(condition: Node | undefined, softmax: Node, c: Rewriter): boolean {
  if (condition?.opType === 'IsNaN') return condition.input(0) === softmax.output(0);
  if (condition?.opType !== 'Not') return false;
  const cast = c.producer(condition.input(0), 'Cast');
  const max = c.producer(cast?.input(0), 'ReduceMax');
  const number = c.producer(max?.input(0), 'Cast');
  const unequal = c.producer(number ? number.input(0) : max?.input(0), 'Not');
  const equal = c.producer(unequal?.input(0), 'Equal');
  const axes = max && c.axes(max);
  const last = c.shape(softmax.input(0))?.length;
  return equal !== undefined && equal.inputs.includes(softmax.input(0) ?? null) && equal.inputs.some((value) => c.scalar(value) === -Infinity)
    && axes?.length === 1 && (axes[0] === -1 || axes[0] === (last ?? 0) - 1);
}

/** The number itself, before it was expanded to the shape of the weights. */
const zeroOf = (node: Node, c: Rewriter): Value | undefined => c.producer(node.input(1), 'Expand')?.input(0) ?? node.input(1);

export const softmaxGuard: Rule = {
  name: 'softmax-guard',
  phase: 'clean',
  ops: ['Where'],
  apply(node, c) {
    const softmax = c.producer(node.input(2), 'Softmax');
    if (!softmax || c.scalar(zeroOf(node, c)) !== 0 || !sameDims(c.shape(node.output(0)), c.shape(softmax.output(0)))) return false;
    if (!asksForEmptyRows(c.producer(node.input(0), 'IsNaN', 'Not'), softmax, c)) return false;
    const scores = attentionScores(softmax.input(0), c);
    return scores !== undefined && everyRowSees(scores, c) && c.bypass(node, softmax.output(0));
  },
};
