/** A Transpose of a Transpose is one, or none. */
import { attribute } from '../../graph/attribute.js';
import type { Rule } from '../rule.js';

export const mergeTranspose: Rule = {
  name: 'merge-transpose',
  phase: 'clean',
  ops: ['Transpose'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Transpose');
    const rank = node.ints('perm')?.length ?? inner?.ints('perm')?.length ?? c.shape(node.input(0))?.length;
    const source = inner?.input(0);
    if (!inner || !source || rank === undefined) return false;
    const reversed = Array.from({ length: rank }, (_, i) => rank - 1 - i);
    const [outer, first] = [node.ints('perm') ?? reversed, inner.ints('perm') ?? reversed];
    const perm = outer.map((axis) => first[axis]!);
    if (perm.every((axis, i) => axis === i)) return c.bypass(node, source);
    return c.isPrivate(node.input(0)!) && c.become(node, 'Transpose', [source], { perm: attribute.ints(perm) });
  },
};
