/** Operators that only give elements another shape, and the target of a Reshape as far as it can be written down. */
import { sameDim } from '../infer/dims.js';
import type { Dims } from '../infer/rule.js';
import type { Dim } from '../shape.js';

export const MOVES_NOTHING = ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'] as const;

/** Sizes, 0 for a size that stays in place, one -1 for another unknown one; undefined where more are unknown. */
export function knownTarget(wanted: readonly Dim[], before: Dims | undefined): number[] | undefined {
  let open = 0;
  const target = wanted.map((dim, i) => {
    if (typeof dim === 'number' && dim > 0) return dim;
    if (dim !== null && dim !== -1 && dim !== 0 && before && sameDim(dim, before[i] ?? null)) return 0;
    open++;
    // A size of 0 cannot be told from "keep" here, so it is left alone.
    return dim === 0 ? NaN : -1;
  });
  return open <= 1 && !target.some(Number.isNaN) ? target : undefined;
}
