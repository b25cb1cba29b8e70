/** A Concat inside a Concat along the same axis goes, and a Split that is put together again. */
import type { Node } from '../../graph/node.js';
import type { Rule } from '../rule.js';

export const mergeConcat: Rule = {
  name: 'merge-concat',
  phase: 'clean',
  ops: ['Concat'],
  apply(node, c) {
    const rank = c.shape(node.output(0))?.length;
    const axisOf = (of: Node): number => { const axis = of.int('axis', c.opset < 4 ? 1 : 0); return axis < 0 && rank !== undefined ? axis + rank : axis; };
    const split = c.producer(node.input(0), 'Split');
    if (split?.outputs.length === node.inputs.length && axisOf(split) === axisOf(node) && split.outputs.every((value, i) => node.inputs[i] === value)) {
      return c.bypass(node, split.input(0)!);
    }
    const parts = node.inputs.map((value) => {
      const inner = c.producer(value, 'Concat');
      return inner && c.isPrivate(value!) && axisOf(inner) === axisOf(node) ? inner.inputs : [value];
    });
    return parts.some((list, i) => list[0] !== node.inputs[i]) && c.become(node, 'Concat', parts.flat(), { axis: node.int('axis', 1) });
  },
};
