/** How far outputs are from those wanted, for tests. */
import type { DenseTensor, Fetches } from '@penjing/core';

/** The largest difference of any element, relative to the largest magnitude of its output, or to `least` where that is smaller. Infinity where types or shapes differ. */
export function relativeDifference(got: Fetches, wanted: Fetches, least = 0): number {
  return Math.max(0, ...Object.keys(wanted).map((name) => differenceOf(got[name] as DenseTensor | undefined, wanted[name] as DenseTensor, least)));
}

function differenceOf(got: DenseTensor | undefined, wanted: DenseTensor, least: number): number {
  if (got?.dtype !== wanted.dtype || got.shape.join() !== wanted.shape.join()) return Infinity;
  const [a, b] = [got.data, wanted.data].map((data) => Float64Array.from(data as ArrayLike<number>, Number)) as [Float64Array, Float64Array];
  let [most, difference] = [least, 0];
  for (const [i, value] of b.entries()) {
    most = Math.max(most, Math.abs(value));
    if (!Object.is(value, a[i])) difference = Math.max(difference, Number.isNaN(Math.abs(value - a[i]!)) ? Infinity : Math.abs(value - a[i]!));
  }
  return difference === 0 ? 0 : difference / most;
}
