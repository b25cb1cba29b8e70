/** A Transpose that moves only axes of size 1 past the others is a Reshape: worth it beside another one, which then takes both. */
import type { Node } from '../../graph/node.js';
import { knownTarget, MOVES_NOTHING } from '../reshapes.js';
import type { Rule } from '../rule.js';

export const transposeReshape: Rule = {
  name: 'transpose-reshape',
  phase: 'clean',
  stores: true,
  ops: ['Transpose'],
  apply(node, c) {
    const [before, after] = [c.shape(node.input(0)), c.shape(node.output(0))];
    const perm = node.ints('perm');
    if (!before || !after || !perm || perm.length !== before.length || c.opset < 5) return false;
    const moved = perm.filter((axis) => before[axis] !== 1);
    if (moved.some((axis, i) => i > 0 && axis < moved[i - 1]!)) return false;
    const neighbour = (other: Node | undefined): boolean => other !== undefined && other.domain === '' && other.opType !== 'Squeeze' && (MOVES_NOTHING as readonly string[]).includes(other.opType);
    const reader = c.onlyReader(node.output(0));
    const beside = (c.isPrivate(node.input(0)!) && neighbour(node.input(0)!.producer)) || (neighbour(reader) && reader!.input(0) === node.output(0));
    const target = beside ? knownTarget(after, before) : undefined;
    return target !== undefined && c.become(node, 'Reshape', [node.input(0), c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`)]);
  },
};
