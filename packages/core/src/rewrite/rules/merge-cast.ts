/** The first of two casts goes when it loses nothing. */
import { type DType, dtypeOfOnnx, dtypes } from '../../dtype.js';
import type { Rule } from '../rule.js';

/** True when every value of `from` is exact in `to`. */
function isExact(from: DType, to: DType): boolean {
  const [a, b] = [dtypes[from], dtypes[to]];
  if (from === to) return true;
  if (a.kind === 'bool') return b.kind !== 'string' && b.kind !== 'complex' && b.bits >= 8 && (b.kind !== 'float' || b.bits >= 16);
  if (a.kind === 'float' && b.kind === 'float') return (to === 'float64' && a.bits <= 32) || (to === 'float32' && a.bits <= 16);
  if (a.kind === 'uint' && (b.kind === 'uint' || b.kind === 'int')) return b.bits > a.bits;
  if (a.kind === 'int' && b.kind === 'int') return b.bits > a.bits;
  if ((a.kind === 'int' || a.kind === 'uint') && b.kind === 'float') return (to === 'float64' && a.bits <= 32) || (to === 'float32' && a.bits <= 16);
  return false;
}

export const mergeCast: Rule = {
  name: 'merge-cast',
  phase: 'clean',
  ops: ['Cast'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Cast');
    const source = inner?.input(0);
    const [from, middle, to] = [c.dtype(source), inner && dtypeOfOnnx.get(inner.int('to', 0)), dtypeOfOnnx.get(node.int('to', 0))];
    if (!inner || !source || !from || !middle || !to || !isExact(from, middle)) return false;
    if (from === to) return c.bypass(node, source);
    node.setInput(0, source);
    return true;
  },
};
