/** One element, looked up by a scalar and given its axis back, is looked up by a list of one; so are those that a product or a sum is made of. */
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** Arithmetic in which lists of one give a list of one, of the number that scalars give. */
const POINTWISE = ['Add', 'Sub', 'Mul', 'Div', 'Cast', 'Neg'] as const;

export const gatherUnsqueeze: Rule = {
  name: 'gather-unsqueeze',
  phase: 'clean',
  stores: true,
  ops: ['Unsqueeze'],
  apply(node, c) {
    const axes = c.axes(node);
    const value = node.input(0);
    if (axes?.length !== 1 || !value || !c.isPrivate(value)) return false;
    const gather = c.producer(value, 'Gather');
    if (gather) {
      const rank = c.shape(gather.input(0))?.length;
      const axis = fromFront(gather.int('axis', 0), rank);
      if (axis === undefined || fromFront(axes[0]!, rank) !== axis || !scalarIndex(gather, c)) return false;
      return c.become(node, 'Gather', [gather.input(0), listOf(node, gather, c)], { axis });
    }
    const inner = c.producer(value, ...POINTWISE);
    if (!inner || c.shape(value)?.length !== 0 || !canWiden(value, c)) return false;
    return c.become(node, inner.opType, widenedOperands(inner, node, c), Object.fromEntries(inner.attributes));
  },
};

const fromFront = (axis: number, rank: number | undefined): number | undefined => (axis >= 0 ? axis : rank === undefined ? undefined : axis + rank);

/** By a scalar that is known. */
const scalarIndex = (gather: Node, c: Rewriter): boolean => c.constant(gather.input(1))?.shape.length === 0;

function listOf(before: Node, gather: Node, c: Rewriter): Value {
  const index = gather.input(1)!;
  return c.addNumbers(before, c.constant(index)!.dtype, [c.scalar(index)!], index.name);
}

/** Scalars looked up in lists, each for this alone, and what is computed from them and constants. */
function canWiden(value: Value, c: Rewriter): boolean {
  if (!c.isPrivate(value)) return false;
  const gather = c.producer(value, 'Gather');
  if (gather) return scalarIndex(gather, c) && c.shape(gather.input(0))?.length === 1;
  const node = c.producer(value, ...POINTWISE);
  const operands = node?.inputs.filter((input) => input && !isScalarConstant(input, c)) ?? [];
  return operands.length > 0 && operands.every((input) => canWiden(input!, c));
}

const isScalarConstant = (value: Value, c: Rewriter): boolean => c.constant(value)?.shape.length === 0;

function widenedOperands(node: Node, before: Node, c: Rewriter): (Value | null)[] {
  return node.inputs.map((input) => {
    const inner = input?.producer;
    if (!inner || isScalarConstant(input, c)) return input;
    if (inner.opType === 'Gather') return c.insert(before, 'Gather', [inner.input(0), listOf(before, inner, c)], { axis: 0 });
    return c.insert(before, inner.opType, widenedOperands(inner, before, c), Object.fromEntries(inner.attributes));
  });
}
