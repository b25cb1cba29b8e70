/** Padding after padding with the same value is one. */
import type { Node } from '../../graph/node.js';
import type { Rule } from '../rule.js';

export const mergePad: Rule = {
  name: 'merge-pad',
  phase: 'clean',
  stores: true,
  ops: ['Pad'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Pad');
    const source = inner?.input(0);
    if (!inner || !source || c.opset < 11 || !c.isPrivate(node.input(0)!) || node.inputs.length > 3 || inner.inputs.length > 3) return false;
    const value = (of: Node): number | undefined => (of.input(2) ? c.scalar(of.input(2)) : 0);
    const [a, b] = [c.numbers(inner.input(1)), c.numbers(node.input(1))];
    const fits = [node, inner].every((of) => of.string('mode', 'constant') === 'constant') && value(node) !== undefined && value(node) === value(inner);
    // Negative pads cut off, and what was cut does not come back.
    if (!fits || !a || !b || a.length !== b.length || [...a, ...b].some((pad) => pad < 0)) return false;
    return c.become(node, 'Pad', [source, c.addNumbers(node, 'int64', a.map((pad, i) => pad + b[i]!), `${node.output(0).name}/pads`), node.input(2)]);
  },
};
