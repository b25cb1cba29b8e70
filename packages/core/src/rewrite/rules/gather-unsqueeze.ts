/** One element, looked up by a scalar and given its axis back, is looked up by a list of one. */
import type { Rule } from '../rule.js';

export const gatherUnsqueeze: Rule = {
  name: 'gather-unsqueeze',
  phase: 'clean',
  stores: true,
  ops: ['Unsqueeze'],
  apply(node, c) {
    const gather = c.producer(node.input(0), 'Gather');
    const index = c.constant(gather?.input(1));
    if (!gather || !index || index.shape.length > 0 || !c.isPrivate(node.input(0)!)) return false;
    const rank = c.shape(gather.input(0))?.length;
    const given = gather.int('axis', 0);
    const axis = given < 0 ? (rank === undefined ? undefined : given + rank) : given;
    const axes = c.axes(node);
    if (axis === undefined || axes?.length !== 1 || (axes[0]! < 0 ? (rank === undefined ? undefined : axes[0]! + rank) : axes[0]) !== axis) return false;
    const list = c.addNumbers(node, index.dtype, [c.scalar(gather.input(1))!], `${node.output(0).name}/indices`);
    return c.become(node, 'Gather', [gather.input(0), list], { axis });
  },
};
