/** Axes of one element put in front of an operand are put there by broadcasting anyway, when another operand has as many axes. */
import type { Use } from '../../graph/value.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** Operators whose operands all broadcast to one shape. */
const BROADCASTING: ReadonlySet<string> = new Set([
  'Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Sum', 'Mean', 'Mod', 'Where', 'And', 'Or', 'Xor', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual',
]);

export const broadcastUnsqueeze: Rule = {
  name: 'broadcast-unsqueeze',
  // Fused attention wants its bias with all four axes, so fusions go first.
  phase: 'merge',
  ops: ['Unsqueeze'],
  apply(node, c) {
    const [source, output] = [node.input(0), node.output(0)];
    const [axes, rank] = [c.axes(node), c.shape(source)?.length];
    // Before opset 8 not all of them broadcast.
    if (!source || !axes?.length || rank === undefined || c.opset < 8 || c.isOutput(output)) return false;
    const full = rank + axes.length;
    const front = axes.map((axis) => (axis < 0 ? axis + full : axis)).sort((a, b) => a - b);
    const uses = output.uses();
    if (!front.every((axis, i) => axis === i) || uses.length === 0 || !uses.every((use) => hasRank(use, full, c))) return false;
    for (const { node: reader, index } of uses) reader.setInput(index, source);
    c.removeIfUnused(node);
    return true;
  },
};

/** The reader broadcasts, and another of its operands has `rank` axes or more. */
function hasRank({ node, index }: Use, rank: number, c: Rewriter): boolean {
  const value = node.input(index);
  return node.domain === '' && BROADCASTING.has(node.opType) && node.inputs.some((other) => other && other !== value && (c.shape(other)?.length ?? 0) >= rank);
}
