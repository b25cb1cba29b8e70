/** A gathered statistic as numbers, arrays and matrices by field, and back: what comes from a file may be anything. */
import { DenseTensor, PenjingError, type TensorReference } from '@penjing/core';
import { type Collected, type StatisticField, statisticFields, type StatisticRequest, type Statistics } from '@penjing/core/calibrate';

export interface StatisticEntry extends StatisticRequest {
  /** The first sample that was not finite. */
  readonly broken: number | undefined;
  readonly numbers: Readonly<Record<string, number>>;
  readonly arrays: ReadonlyMap<string, DenseTensor>;
  readonly squares: ReadonlyMap<string, TensorReference>;
}

export function entryOf({ value, statistic, broken, result }: Collected): StatisticEntry {
  const numbers: Record<string, number> = {};
  const arrays = new Map<string, DenseTensor>();
  const squares = new Map<string, TensorReference>();
  for (const [field, kind] of fieldsOf(statistic)) {
    const content = (result as unknown as Readonly<Record<string, unknown>>)[field];
    if (kind === 'number') numbers[field] = content as number;
    else if (kind === 'square') squares.set(field, content as TensorReference);
    else arrays.set(field, DenseTensor.of(kind, [(content as Float64Array).length], content as Float64Array<ArrayBuffer>));
  }
  return { value, statistic, broken, numbers, arrays, squares };
}

/** Throws `E_DATA` for what is no such statistic; `where` is named. */
export function collectedOf({ broken, numbers, arrays, squares, ...named }: StatisticEntry, wanted: StatisticRequest, where: string): Collected {
  const fail = (why: string): PenjingError => new PenjingError('E_DATA', `${where}: ${wanted.statistic} of ${wanted.value} ${why}`, { hint: 'The file is damaged, or was not written by Penjing; delete it.' });
  if (named.statistic !== wanted.statistic || named.value !== wanted.value) throw fail(`is ${named.statistic} of ${named.value}`);
  if (broken !== undefined && !(Number.isSafeInteger(broken) && broken >= 0)) throw fail('names no sample that is broken');
  const result: Record<string, unknown> = {};
  const lengths = new Set<number>();
  for (const [field, kind] of fieldsOf(wanted.statistic)) {
    const array = arrays.get(field);
    const square = squares.get(field);
    const number = numbers[field];
    if (kind === 'number') {
      if (typeof number !== 'number' || Number.isNaN(number)) throw fail(`has no ${field}`);
      result[field] = number;
    } else if (kind === 'square') {
      if (square?.dtype !== 'float32' || square.shape.length !== 2 || square.shape[0] !== square.shape[1] || square.shape[0] !== numbers['channels']) throw fail(`has no matrix ${field}`);
      result[field] = square;
    } else {
      if (array?.dtype !== kind || array.shape.length !== 1) throw fail(`has no ${field}`);
      // a broken activation has sums that are not finite, and its statistics are not used
      if (broken === undefined && !(array.data as Float64Array).every((value) => !Number.isNaN(value))) throw fail(`has a ${field} that is no number`);
      lengths.add(array.shape[0]!);
      result[field] = array.data;
    }
  }
  if (lengths.size > 1) throw fail('has arrays of different lengths');
  if (wanted.statistic === 'histogram' && !isHistogram(result as unknown as Statistics['histogram'])) throw fail('has bins that cannot be');
  return { ...wanted, broken, result: result as unknown as Collected['result'] };
}

/** JSON has no infinities: those are texts. */
export function numbersToJson(numbers: StatisticEntry['numbers']): Record<string, number | string> {
  return Object.fromEntries(Object.entries(numbers).map(([field, number]) => [field, Number.isFinite(number) ? number : String(number)]));
}

export function numbersOfJson(numbers: Readonly<Record<string, number | string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers).map(([field, number]) => [field, Number(number)]));
}

/** Not `gram`, which is not kept. */
function fieldsOf(statistic: StatisticRequest['statistic']): [string, StatisticField][] {
  if (!Object.hasOwn(statisticFields, statistic)) throw new PenjingError('E_DATA', `the statistic ${statistic} is not kept`);
  return Object.entries<StatisticField>(statisticFields[statistic as keyof typeof statisticFields]);
}

/** Those who choose ranges walk over the bins and trust their places. */
function isHistogram({ width, first, counts, min, max, nonFinite }: Statistics['histogram']): boolean {
  if (!(width >= 2 ** -149 && width <= 2 ** 128 && Number.isInteger(Math.log2(width)) && Number.isSafeInteger(first))) return false;
  if (!(Number.isSafeInteger(nonFinite) && nonFinite >= 0) || !counts.every((count) => Number.isSafeInteger(count) && count >= 0)) return false;
  if (counts.length === 0) return true;
  return counts.length <= 4096 && min <= max && Math.floor(min / width) === first && Math.floor(max / width) === first + counts.length - 1;
}
