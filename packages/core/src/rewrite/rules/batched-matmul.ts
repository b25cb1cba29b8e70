/** A product whose batch dimensions were merged for it and taken apart afterwards, as PyTorch's `bmm` wants, is taken as it is. */
import type { Value } from '../../graph/value.js';
import { sameDim } from '../../infer/dims.js';
import type { Dims } from '../../infer/rule.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** What stands before a Reshape from (a, b, m, n) to (a·b, m, n). */
function beforeMerge(value: Value | null, outer: Dims, c: Rewriter): Value | undefined {
  const reshape = c.producer(value, 'Reshape');
  const source = reshape?.input(0);
  const [from, to] = [c.shape(source), c.shape(value ?? undefined)];
  const fits = from?.length === 4 && to?.length === 3 && [0, 1].every((axis) => sameDim(from[axis]!, outer[axis]!)) && [1, 2].every((axis) => sameDim(from[axis + 1]!, to[axis]!));
  return fits ? source : undefined;
}

export const batchedMatmul: Rule = {
  name: 'batched-matmul',
  phase: 'clean',
  stores: true,
  ops: ['Reshape'],
  apply(node, c) {
    const product = c.producer(node.input(0), 'MatMul');
    const [flat, out] = [c.shape(product?.output(0)), c.shape(node.output(0))];
    if (!product || !c.isPrivate(product.output(0)) || flat?.length !== 3 || out?.length !== 4 || ![1, 2].every((axis) => sameDim(flat[axis]!, out[axis + 1]!))) return false;
    const sides = [product.input(0)!, product.input(1)!];
    if (sides.some((side) => c.shape(side)?.length !== 3)) return false;
    const apart = sides.map((side) => beforeMerge(side, out, c));
    if (!apart[0] && !apart[1]) return false;
    const made = sides.map((side, i) => apart[i] ?? takenApart(side, [...out.slice(0, 2), ...c.shape(side)!.slice(1)], node.input(1)!, out));
    if (made.some((side) => side === undefined)) return false;
    return c.become(node, 'MatMul', made.map((side) => (typeof side === 'function' ? side() : side)));

    /** One Reshape may stay, to a shape that can be written down or is that of the result. */
    function takenApart(side: Value, shape: Dims, given: Value, like: Dims): (() => Value) | undefined {
      const open = shape.filter((dim) => typeof dim !== 'number').length;
      if (shape.every((dim, axis) => sameDim(dim, like[axis]!))) return () => c.insert(node, 'Reshape', [side, given]);
      if (open > 1) return undefined;
      return () => c.insert(node, 'Reshape', [side, c.addNumbers(node, 'int64', shape.map((dim) => (typeof dim === 'number' ? dim : -1)), `${node.output(0).name}/apart`)]);
    }
  },
};
