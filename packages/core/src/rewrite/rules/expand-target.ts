/** The computed target of an Expand becomes a constant: a size that the input has already is written as 1. */
import { sameDim } from '../../infer/dims.js';
import type { Rule } from '../rule.js';

export const expandTarget: Rule = {
  name: 'expand-target',
  phase: 'clean',
  stores: true,
  ops: ['Expand'],
  apply(node, c) {
    const shape = node.input(1);
    const [values, before] = [c.values(shape), c.shape(node.input(0))];
    if (!shape || c.weight(shape) || !values || !before) return false;
    const shift = values.length - before.length;
    const target = values.map((dim, i) => (typeof dim === 'number' && dim > 0 ? dim : dim !== null && dim !== 0 && i >= shift && sameDim(dim, before[i - shift]!) ? 1 : NaN));
    if (target.some(Number.isNaN)) return false;
    node.setInput(1, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`));
    return true;
  },
};
