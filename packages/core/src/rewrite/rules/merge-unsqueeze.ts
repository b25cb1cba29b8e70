/** Unsqueeze of Unsqueeze, Squeeze of Squeeze, and the two that undo each other. */
import type { Node } from '../../graph/node.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** Axes counted from the front; undefined when they are computed or the rank they refer to is unknown. */
function frontAxes(node: Node, rank: number | undefined, c: Rewriter): number[] | undefined {
  const axes = c.axes(node);
  if (!axes || (rank === undefined && axes.some((axis) => axis < 0))) return undefined;
  return axes.map((axis) => (axis < 0 ? axis + rank! : axis)).sort((a, b) => a - b);
}

export const mergeUnsqueeze: Rule = {
  name: 'merge-unsqueeze',
  phase: 'clean',
  stores: true,
  ops: ['Unsqueeze', 'Squeeze'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Squeeze', 'Unsqueeze');
    const source = inner?.input(0);
    if (!inner || !source) return false;
    const middle = c.shape(node.input(0))?.length;
    const added = (of: Node, rank: number | undefined): number | undefined => {
      const axes = c.axes(of);
      return rank === undefined || !axes ? undefined : rank + axes.length;
    };
    const outerAxes = frontAxes(node, node.opType === 'Squeeze' ? middle : added(node, middle), c);
    const innerAxes = frontAxes(inner, inner.opType === 'Unsqueeze' ? middle : added(inner, middle), c);
    if (!outerAxes || !innerAxes || outerAxes.length === 0 || innerAxes.length === 0) return false;
    if (node.opType !== inner.opType) {
      return outerAxes.join() === innerAxes.join() && c.bypass(node, source);
    }
    if (!c.isPrivate(node.input(0)!)) return false;
    const axes = node.opType === 'Unsqueeze' ? placed(outerAxes, innerAxes) : placed(innerAxes, outerAxes);
    const { inputs, attributes } = c.axesFor(node, axes);
    return c.become(node, node.opType, [source, ...inputs], attributes);
  },
};

/** Where the `inner` axes of a tensor stand once the `outer` ones are added to it, with those. */
function placed(outer: readonly number[], inner: readonly number[]): number[] {
  const taken = new Set(outer);
  const free: number[] = [];
  for (let at = 0; free.length <= Math.max(...inner); at++) if (!taken.has(at)) free.push(at);
  return [...outer, ...inner.map((axis) => free[axis]!)].sort((a, b) => a - b);
}
