/** What another machine wrote is walked once before anything is done with it: no classes, no cycles, and not more than memory and stack can take. */
import { PenjingError } from '@penjing/core';

export interface PlainLimits {
  /** Values, those that stand in several places counted in each: who walks the data without a memory of its own ends there too. The longest lists have some 10,000. */
  readonly values: number;
  /** Values inside each other. Expressions of weights reach some dozens. */
  readonly depth: number;
}

/** An object with fields, of whatever class before it was written; no set, date, or other thing that has its content elsewhere. */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return Object.prototype.toString.call(value) === '[object Object]';
}

interface Extent {
  readonly values: number;
  readonly depth: number;
}

const LEAF: Extent = { values: 1, depth: 0 };

/** Throws `E_DATA`. */
export function checkPlain(value: unknown, limits: PlainLimits): void {
  const known = new Map<object, Extent | undefined>();
  let met = 0;

  function extentOf(item: unknown, depth: number): Extent {
    if (typeof item !== 'object' || item === null) return LEAF;
    if (known.has(item)) return known.get(item) ?? refuse('it holds itself');
    if (depth > limits.depth) refuse(`it has more than ${limits.depth} values inside each other`);
    known.set(item, undefined);
    const inner = innerOf(item, limits.values - met);
    met += inner.length;
    const extent = { values: 1, depth: 0 };
    for (const each of inner) {
      const { values, depth: below } = extentOf(each, depth + 1);
      extent.values += values;
      extent.depth = Math.max(extent.depth, below + 1);
      if (extent.values > limits.values) refuse(`it has more than ${limits.values} values`);
      if (extent.depth > limits.depth) refuse(`it has more than ${limits.depth} values inside each other`);
    }
    known.set(item, extent);
    return extent;
  }

  extentOf(value, 0);
}

/** `most` is looked at before anything is copied: an array may say that it is longer than memory. */
function innerOf(item: object, most: number): readonly unknown[] {
  if (ArrayBuffer.isView(item) || item instanceof ArrayBuffer) return [];
  const count = Array.isArray(item) ? item.length : item instanceof Map ? item.size : 0;
  if (count > most) refuse('it has more values than a job takes');
  if (Array.isArray(item)) return item;
  if (item instanceof Map) {
    for (const key of item.keys()) if (typeof key === 'object' && key !== null) refuse('a map has keys that are no texts or numbers');
    return [...item.values()];
  }
  if (!isFields(item)) refuse(`it holds a ${Object.prototype.toString.call(item).slice('[object '.length, -1)}`);
  return Object.values(item);
}

function refuse(why: string): never {
  throw new PenjingError('E_DATA', `the data of a job is not taken: ${why}`, { hint: 'Run the same version of Penjing on all machines, and let nobody else write to the folders that they share.' });
}
