/** Bounds of Clip and Relu after one another are those of one. */
import { attribute } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { float32Tensor } from '../arithmetic.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

export const mergeClip: Rule = {
  name: 'merge-clip',
  phase: 'clean',
  stores: true,
  ops: ['Clip', 'Relu'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Clip', 'Relu');
    if (!inner || c.dtype(node.input(0)) !== 'float32') return false;
    const [a, b] = [boundsOf(inner, c), boundsOf(node, c)];
    const source = inner.input(0);
    if (!a || !b || !source) return false;
    // What the inner one leaves is inside the outer bounds.
    if (a[0] >= b[0] && a[1] <= b[1]) return c.bypass(node, node.input(0)!);
    if (!c.isPrivate(node.input(0)!)) return false;
    const clamp = (x: number): number => Math.min(Math.max(x, b[0]), b[1]);
    const [low, high] = [clamp(a[0]), clamp(a[1])];
    if (low === 0 && high === Infinity) return c.become(node, 'Relu', [source]);
    if (c.opset < 11) {
      return c.become(node, 'Clip', [source], { ...(low !== -Infinity && { min: attribute.float(low) }), ...(high !== Infinity && { max: attribute.float(high) }) });
    }
    const name = node.output(0).name;
    const bound = (x: number, end: string): Value | null => (Number.isFinite(x) ? c.addConstant(node, float32Tensor([], [x]), `${name}/${end}`) : null);
    return c.become(node, 'Clip', [source, bound(low, 'min'), bound(high, 'max')]);
  },
};

function boundsOf(node: Node, c: Rewriter): [number, number] | undefined {
  if (node.opType === 'Relu') return [0, Infinity];
  const bound = (index: number, name: string, fallback: number): number | undefined => (node.input(index) ? c.scalar(node.input(index)) : node.float(name, fallback));
  const [low, high] = [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)];
  return low === undefined || high === undefined || low > high ? undefined : [low, high];
}
