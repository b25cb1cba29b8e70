/** Parts of the normalizations over the last axis that exporters spell out. */
import { attribute, type AttributeInput } from '../graph/attribute.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { either, type Match, op, type Pattern, scalar, stored } from './match.js';
import type { Rewriter } from './rewriter.js';

/** A mean over the last axis that keeps it. */
export const mean = (of: Pattern, name: string): Pattern => either(op('ReduceMean', [of], { name, where: overLast }), op('ReduceMean', [of, stored(`${name}.axes`)], { name, where: overLast }));

function overLast(node: Node, c: Rewriter): boolean {
  const axes = c.axes(node);
  const rank = c.shape(node.input(0))?.length;
  return node.int('keepdims', 1) === 1 && axes?.length === 1 && (axes[0] === -1 || (rank !== undefined && axes[0] === rank - 1));
}

export const square = (of: Pattern): Pattern => either(op('Pow', [of, scalar(2)]), op('Mul', [of, of]));

/** The root of a variance plus epsilon. */
export const deviation = (variance: Pattern): Pattern => op('Sqrt', [op('Add', [variance, scalar(undefined, 'epsilon')])]);

/** numerator / deviation, as a quotient or as a product with the reciprocal. */
export const over = (numerator: Pattern, root: Pattern): Pattern => either(
  op('Div', [numerator, root]),
  op('Mul', [numerator, op('Reciprocal', [root])]),
  op('Mul', [numerator, op('Div', [scalar(1), root])]),
);

/** The vector of the last axis, known to be as long as it. */
function vectorOfLast(value: Value, x: Value, c: Rewriter): boolean {
  const tensor = c.weight(value);
  const last = c.shape(x)?.at(-1);
  return tensor?.shape.length === 1 && typeof last === 'number' && tensor.shape[0] === last;
}

export interface Norm {
  readonly x: Value;
  readonly scale: Value;
  readonly bias: Value | undefined;
  readonly epsilon: number;
}

/** What was normalized, when the parameters have the size of the last axis. */
export function normOf(m: Match, c: Rewriter, bias: boolean): Norm | undefined {
  const x = m.value('x');
  const scale = m.value('scale');
  const epsilon = c.scalar(m.value('epsilon'));
  if (epsilon === undefined || epsilon < 0 || epsilon > 0.1 || c.dtype(x) !== 'float32' || !vectorOfLast(scale, x, c)) return undefined;
  if (bias && !vectorOfLast(m.value('bias'), x, c)) return undefined;
  return { x, scale, bias: bias ? m.value('bias') : undefined, epsilon };
}

export const normAttributes = (epsilon: number): Record<string, AttributeInput> => ({ axis: attribute.int(-1), epsilon: attribute.float(epsilon) });
