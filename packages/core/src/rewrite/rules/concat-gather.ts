/** Neighbours of a Concat that look up rows of the same value do it at once. */
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { Rule } from '../rule.js';

export const concatGather: Rule = {
  name: 'concat-gather',
  phase: 'clean',
  stores: true,
  ops: ['Concat'],
  apply(node, c) {
    const axis = node.int('axis', 0);
    if (axis < 0) return false;
    const lookup = (value: Value | null | undefined): { node: Node; indices: readonly number[] } | undefined => {
      const gather = c.producer(value, 'Gather');
      const indices = gather && c.constant(gather.input(1))?.shape.length === 1 ? c.numbers(gather.input(1)) : undefined;
      return gather && indices && gather.int('axis', 0) === axis && c.isPrivate(value!) ? { node: gather, indices } : undefined;
    };
    for (let i = 0; i + 1 < node.inputs.length; i++) {
      const [a, b] = [lookup(node.inputs[i]), lookup(node.inputs[i + 1])];
      if (!a || !b || a.node.input(0) !== b.node.input(0) || c.dtype(a.node.input(1)) !== c.dtype(b.node.input(1))) continue;
      const indices = c.addNumbers(node, c.dtype(a.node.input(1))!, [...a.indices, ...b.indices], `${node.output(0).name}/indices`);
      const both = c.insert(node, 'Gather', [a.node.input(0), indices], { axis });
      const inputs = node.inputs.flatMap((value, k) => (k === i ? [both] : k === i + 1 ? [] : [value]));
      return inputs.length === 1 ? c.bypass(node, both) : c.become(node, 'Concat', inputs, { axis });
    }
    return false;
  },
};
