/** Grids of 8-bit integers: value = (code − zeroPoint) · scale. */
import type { ValueRange } from '@penjing/core/calibrate';

export interface Grid {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly dtype: 'uint8' | 'int8';
}

/** Below this a scale is taken for 0: its reciprocal would overflow float32. */
const SMALLEST_SCALE = 2 ** -126;

/**
 * The grid of 256 points that covers a range and zero, with zero on a point: padding and Relu stay exact. A range of nothing but zero
 * gets scale 1.
 */
export function gridOf({ min, max }: ValueRange, dtype: Grid['dtype']): Grid {
  const low = Math.min(0, min);
  const high = Math.max(0, max);
  const lowest = dtype === 'uint8' ? 0 : -128;
  const scale = Math.fround((high - low) / 255);
  if (!(scale >= SMALLEST_SCALE)) return { scale: 1, zeroPoint: lowest, dtype };
  return { scale, zeroPoint: lowest + Math.max(0, Math.min(255, Math.round(-low / scale))), dtype };
}

/** The smallest and largest value of a grid. */
export function gridRange({ scale, zeroPoint, dtype }: Grid): ValueRange {
  const lowest = dtype === 'uint8' ? 0 : -128;
  return { min: (lowest - zeroPoint) * scale, max: (lowest + 255 - zeroPoint) * scale };
}
