/** One grid for every value of a plan: that of the value its codes come from, shared by what is concatenated where that costs little. */
import type { Value } from '@penjing/core';
import type { ValueRange } from '@penjing/core/calibrate';
import { boundsOf } from './fold-activation.js';
import { type Grid, gridOf } from './grid.js';
import type { IntegerNode, StaticPlan } from './plan.js';

/** A part of a concatenation keeps at least half of the codes, or a grid of its own. */
const LEAST_SHARE = 0.5;

export function assignGrids({ nodes, values, rootOf }: StaticPlan, measured: ReadonlyMap<Value, ValueRange>, dtype: Grid['dtype']): Map<Value, Grid> {
  const ranges = new Map<Value, ValueRange>();
  const bounds = new Map<Value, ValueRange>();
  for (const { rule, outputs, activation } of nodes) {
    if (rule.kind === 'compute' && rule.range) for (const value of outputs) ranges.set(value, rule.range);
    if (activation) bounds.set(outputs[0]!, boundsOf(activation)!);
  }
  const rangeOf = (value: Value): ValueRange => ranges.get(value) ?? measured.get(value) ?? { min: 0, max: 0 };
  for (const found of nodes) if (found.node.opType === 'Concat') share(found, { rootOf, rangeOf, bounds, ranges });
  return new Map([...values].map((value) => [value, gridOf(rangeOf(rootOf(value)), dtype)]));
}

interface Sharing {
  readonly rootOf: (value: Value) => Value;
  readonly rangeOf: (value: Value) => ValueRange;
  readonly bounds: ReadonlyMap<Value, ValueRange>;
  /** Of those that were decided, changed here. */
  readonly ranges: Map<Value, ValueRange>;
}

/** Codes of equal grids are concatenated as they are; others have to be computed again. */
function share({ inputs, outputs }: IntegerNode, { rootOf, rangeOf, bounds, ranges }: Sharing): void {
  const roots = [...new Set([...inputs, ...outputs].map(rootOf))];
  const union = { min: Math.min(0, ...roots.map((root) => rangeOf(root).min)), max: Math.max(0, ...roots.map((root) => rangeOf(root).max)) };
  const fits = roots.every((root) => {
    const { min, max } = rangeOf(root);
    const bound = bounds.get(root);
    return Math.max(0, max) - Math.min(0, min) >= LEAST_SHARE * (union.max - union.min) && (!bound || (bound.min <= union.min && bound.max >= union.max));
  });
  if (fits) for (const root of roots) ranges.set(root, union);
}
