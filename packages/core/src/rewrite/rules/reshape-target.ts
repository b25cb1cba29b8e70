/** The computed target of a Reshape, all but one of whose sizes are known or stay as they are, becomes a constant. */
import type { Dim } from '../../shape.js';
import { knownTarget } from '../reshapes.js';
import type { Rule } from '../rule.js';

export const reshapeTarget: Rule = {
  name: 'reshape-target',
  phase: 'clean',
  stores: true,
  ops: ['Reshape'],
  apply(node, c) {
    const shape = node.input(1);
    if (!shape || c.weight(shape) || node.int('allowzero', 0) !== 0) return false;
    const before = c.shape(node.input(0));
    const [values, after] = [c.values(shape), c.shape(node.output(0))];
    if (!values && !after) return false;
    if (values && after && values.length !== after.length) return false;
    const wanted = (after ?? values!).map((dim, i): Dim => {
      const value = values?.[i] ?? null;
      if (typeof dim === 'number' && dim > 0) return dim;
      return value ?? dim;
    });
    const target = knownTarget(wanted, before);
    if (!target) return false;
    node.setInput(1, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`));
    return true;
  },
};
