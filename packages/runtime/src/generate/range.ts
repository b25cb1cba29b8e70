/** Numbers within limits. */
import { PenjingError } from '@penjing/core';

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly integer?: boolean;
  readonly fallback: number;
}

/** The value of a numeric option, or its default. */
export function inRange(name: string, value: number | undefined, { min, max, integer, fallback }: Range): number {
  const number = value ?? fallback;
  if (typeof number === 'number' && number >= min && number <= max && (!integer || Number.isInteger(number))) return number;
  throw new PenjingError('E_OPTION', `${name} is ${String(value)}; it must be ${integer ? 'an integer' : 'a number'} from ${min === Number.MIN_VALUE ? 'above 0' : min} to ${max}`);
}
