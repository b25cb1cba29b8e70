/** (x + a) + b is x + (a + b), (x·a)·b is x·(a·b). */
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { broadcastShapes, sameShape } from '../../shape.js';
import { float32Of, float32Tensor, isFinite32 } from '../arithmetic.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

interface Step {
  readonly input: Value;
  readonly constant: Value;
  readonly numbers: readonly number[];
  readonly kind: 'add' | 'multiply';
}

/** x op constant, for float32 x, as an addition or a multiplication. */
function stepOf(node: Node | undefined, c: Rewriter): Step | undefined {
  if (!node) return undefined;
  for (const index of [1, 0]) {
    const [constant, input] = [node.input(index), node.input(1 - index)];
    const numbers = float32Of(constant, c);
    if (!constant || !input || !numbers || c.weight(input)) continue;
    if (node.opType === 'Add') return { input, constant, numbers, kind: 'add' };
    if (node.opType === 'Mul') return { input, constant, numbers, kind: 'multiply' };
    if (index === 1 && node.opType === 'Sub') return { input, constant, numbers: numbers.map((x) => -x), kind: 'add' };
    if (index === 1 && node.opType === 'Div') return { input, constant, numbers: numbers.map((x) => 1 / x), kind: 'multiply' };
  }
  return undefined;
}

export const mergeConstants: Rule = {
  name: 'merge-constants',
  phase: 'merge',
  stores: true,
  ops: ['Add', 'Sub', 'Mul', 'Div'],
  apply(node, c) {
    if (c.opset < 7) return false;
    const outer = stepOf(node, c);
    const inner = stepOf(c.producer(outer?.input, 'Add', 'Sub', 'Mul', 'Div'), c);
    if (!outer || !inner || outer.kind !== inner.kind || !c.isPrivate(outer.input)) return false;
    const [a, b] = [c.constant(inner.constant)!.shape, c.constant(outer.constant)!.shape];
    // Broadcasting two small constants against each other could make a large one.
    const shape = a.length === 0 || sameShape(a, b) ? b : b.length === 0 ? a : undefined;
    if (!shape || !sameShape(broadcastShapes(a, b), shape)) return false;
    const [x, y] = [inner.numbers, outer.numbers];
    const merged = Array.from({ length: Math.max(x.length, y.length) }, (_, i) => {
      const [p, q] = [x[x.length === 1 ? 0 : i]!, y[y.length === 1 ? 0 : i]!];
      return outer.kind === 'add' ? p + q : p * q;
    });
    const tiny = outer.kind === 'multiply' && merged.some((value, i) => value !== 0 && Math.abs(value) < 1e-30 && i >= 0);
    if (!isFinite32(merged) || tiny) return false;
    return c.become(node, outer.kind === 'add' ? 'Add' : 'Mul', [inner.input, c.addConstant(node, float32Tensor(shape, merged), `${node.output(0).name}/constant`)]);
  },
};
