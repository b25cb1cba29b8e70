/** Constants as plain numbers. */
import type { DenseTensor } from '@penjing/core';

export function numbersOf(tensor: DenseTensor): number[] {
  return Array.from(tensor.data as ArrayLike<number | bigint>, (value) => {
    // Slices say "to the end" with the largest int64.
    const number = Number(value);
    return Number.isSafeInteger(number) || !Number.isInteger(number) ? number : Math.sign(number) * Number.MAX_SAFE_INTEGER;
  });
}

