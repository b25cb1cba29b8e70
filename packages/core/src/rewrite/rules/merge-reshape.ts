/** A reshape of something that only another reshape reads becomes one with it. */
import type { Node } from '../../graph/node.js';
import { sameDims } from '../../infer/dims.js';
import type { Dims } from '../../infer/rule.js';
import { knownTarget, MOVES_NOTHING } from '../reshapes.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

export const mergeReshape: Rule = {
  name: 'merge-reshape',
  phase: 'clean',
  stores: true,
  ops: MOVES_NOTHING,
  apply(node, c) {
    const inner = c.producer(node.input(0), ...MOVES_NOTHING);
    const source = inner?.input(0);
    if (!inner || !source) return false;
    const [before, after] = [c.shape(source), c.shape(node.output(0))];
    if (before && after && sameDims(before, after)) return c.bypass(node, source);
    if (!c.isPrivate(node.input(0)!) || c.opset < 5) return false;
    // Two Squeezes stay one Squeeze, which says more than a target does.
    if (node.opType === inner.opType && (node.opType === 'Squeeze' || node.opType === 'Unsqueeze')) return false;
    const target = targetOf(node, before, after, c);
    return target !== undefined && c.become(node, 'Reshape', [source, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`)]);
  },
};

/** A target for a reshape of `before` to `after`: sizes, 0 for a size that stays in place, one -1. */
function targetOf(node: Node, before: Dims | undefined, after: Dims | undefined, c: Rewriter): number[] | undefined {
  if (node.opType === 'Reshape') {
    const given = c.numbers(node.input(1));
    if (given && !given.includes(0)) return [...given];
  }
  return after && knownTarget(after, before);
}
