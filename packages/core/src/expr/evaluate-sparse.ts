/** Sparse weights: zeros in place of the least, by a threshold or by a pattern. */
import { matrixView } from '../shape.js';
import { typedView } from '../dtype.js';
import { floatsOf, fromFloats } from './evaluate-cast.js';
import type { SparseRule, SparsifyExpr } from './tensor-expr.js';
import { cropColumns, elementBytes, type Rule, windowCount } from './window.js';

export const sparsify: Rule<SparsifyExpr> = (expr, { r0, r1, c0, c1 }, context) => {
  const { input, rule, dtype } = expr;
  const group = rule.kind === 'pattern' ? rule.of : 1;
  const wide = { r0, r1, c0: Math.floor(c0 / group) * group, c1: Math.min(matrixView(expr.shape).cols, Math.ceil(c1 / group) * group) };
  const before = floatsOf(dtype, context.window(input, wide), context);
  const after = typedView('float32', context.alloc(windowCount(wide) * 4)) as Float32Array;
  const cols = wide.c1 - wide.c0;
  if (rule.kind === 'threshold') keepAbove(before, after, rule.least);
  else for (let r = 0; r < r1 - r0; r++) keepPattern(before.subarray(r * cols, (r + 1) * cols), after.subarray(r * cols, (r + 1) * cols), rule);
  const crop = (floats: Float32Array): Float32Array => {
    const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    return typedView('float32', cropColumns(bytes, r1 - r0, cols * 4, (c0 - wide.c0) * 4, (c1 - c0) * 4, context)) as Float32Array;
  };
  const kept = crop(after);
  context.lost(context.kernels.errorStats(crop(before), kept), expr);
  const out = context.alloc(kept.length * elementBytes(dtype));
  fromFloats(dtype, kept, out, context);
  return out;
};

/** NaN is not above anything. */
function keepAbove(before: Float32Array, after: Float32Array, least: number): void {
  for (let i = 0; i < before.length; i++) {
    const magnitude = Math.abs(before[i]!);
    after[i] = magnitude >= least && magnitude < Infinity ? before[i]! : 0;
  }
}

/** Marks the largest of each group one after the other; a group is short enough for that. */
function keepPattern(before: Float32Array, after: Float32Array, { keep, of }: Extract<SparseRule, { kind: 'pattern' }>): void {
  after.fill(0);
  for (let start = 0; start < before.length; start += of) {
    const end = Math.min(start + of, before.length);
    for (let i = start; i < end; i++) {
      const magnitude = Math.abs(before[i]!);
      if (!(magnitude < Infinity)) continue;
      let larger = 0;
      for (let j = start; j < end && larger < keep; j++) {
        const other = Math.abs(before[j]!);
        if (other < Infinity && (other > magnitude || (other === magnitude && j < i))) larger++;
      }
      if (larger < keep) after[i] = before[i]!;
    }
  }
}
