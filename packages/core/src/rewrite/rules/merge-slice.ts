/** Slices along different axes are one. */
import { attribute } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

interface SliceParts {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

/** Everything about a slice as numbers, axes from the front. */
function sliceParts(node: Node, c: Rewriter): SliceParts | undefined {
  const starts = node.ints('starts') ?? c.numbers(node.input(1));
  const ends = node.ints('ends') ?? c.numbers(node.input(2));
  const given = node.ints('axes') ?? (node.input(3) ? c.numbers(node.input(3)) : starts?.map((_, i) => i));
  const steps = node.input(4) ? c.numbers(node.input(4)) : starts?.map(() => 1);
  const rank = c.shape(node.input(0))?.length;
  if (!starts || !ends || !given || !steps || (rank === undefined && given.some((axis) => axis < 0))) return undefined;
  return { starts, ends, axes: given.map((axis) => (axis < 0 ? axis + rank! : axis)), steps };
}

export const mergeSlice: Rule = {
  name: 'merge-slice',
  phase: 'clean',
  stores: true,
  ops: ['Slice'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Slice');
    const source = inner?.input(0);
    if (!inner || !source || !c.isPrivate(node.input(0)!)) return false;
    const [a, b] = [sliceParts(inner, c), sliceParts(node, c)];
    if (!a || !b || a.axes.some((axis) => b.axes.includes(axis))) return false;
    const all = { starts: [...a.starts, ...b.starts], ends: [...a.ends, ...b.ends], axes: [...a.axes, ...b.axes], steps: [...a.steps, ...b.steps] };
    if (c.opset < 10) {
      return c.become(node, 'Slice', [source], { starts: attribute.ints(all.starts), ends: attribute.ints(all.ends), axes: attribute.ints(all.axes) });
    }
    const name = node.output(0).name;
    const list = (part: 'starts' | 'ends' | 'axes' | 'steps'): Value => c.addNumbers(node, 'int64', all[part], `${name}/${part}`);
    return c.become(node, 'Slice', [source, list('starts'), list('ends'), list('axes'), ...(all.steps.some((step) => step !== 1) ? [list('steps')] : [])]);
  },
};
