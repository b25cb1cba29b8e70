/** Tensors as the page holds them: type, shape, and bytes as they go over the wire. */
import type { TextKey } from '../text/text.js';
import { type Datatype, datatypes, isDatatype } from './datatypes.js';

export interface TensorData {
  readonly datatype: Datatype | 'BYTES';
  readonly shape: readonly number[];
  /** Little-endian elements in row-major order; of BYTES each with its length before it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Something the reader typed or dropped that does not fit; the words come from the dictionary. */
export class TensorProblem extends Error {
  override readonly name = 'TensorProblem';
  readonly key: TextKey;
  readonly values: Readonly<Record<string, string | number>>;

  constructor(key: TextKey, values: Readonly<Record<string, string | number>> = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** No more than a server takes in one request; a tab has to hold it twice. */
export const MAX_BYTES = 64 * 10 ** 6;

export const sayShape = (shape: readonly number[]): string => `[${shape.join(', ').replaceAll('-', '−')}]`;

export const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Throws a {@link TensorProblem} when a shape is not what the model asks for (−1 for any size). */
export function checkShape(wanted: readonly number[], given: readonly number[]): void {
  const fits = wanted.length === given.length && wanted.every((size, i) => size < 0 || size === given[i]);
  if (!fits) throw new TensorProblem('tensor.error.shape', { wanted: sayShape(wanted), given: sayShape(given) });
}

/** Builds a numeric tensor from a rule for each element. */
export function fillTensor(datatype: Datatype, shape: readonly number[], value: (index: number) => number | bigint | boolean): TensorData {
  const { size, range, write } = datatypes[datatype];
  const count = countOf(shape);
  if (count * size > MAX_BYTES) throw new TensorProblem('tensor.error.large', { size: `${Math.round((count * size) / 1e6)} MB`, limit: `${MAX_BYTES / 1e6} MB` });
  const bytes = new Uint8Array(count * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const given = value(i);
    const element = typeof given === 'boolean' ? Number(given) : given;
    if (range) checkRange(element, range, datatype);
    write(view, i * size, element);
  }
  return { datatype, shape, bytes };
}

function checkRange(value: number | bigint, [min, max]: readonly [bigint, bigint], datatype: Datatype): void {
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (!isWhole || BigInt(value) < min || BigInt(value) > max) throw new TensorProblem('tensor.error.range', { value: String(value), dtype: datatype });
}

export function bytesTensor(texts: readonly (string | Uint8Array)[], shape: readonly number[]): TensorData {
  const parts = texts.map((text) => (typeof text === 'string' ? new TextEncoder().encode(text) : text));
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + 4 + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return { datatype: 'BYTES', shape, bytes };
}

/** The first `limit` elements; the bytes of a text that are no UTF-8 are shown as replacement characters. */
export function elementsOf({ datatype, shape, bytes }: TensorData, limit: number): (number | bigint | string)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.min(limit, countOf(shape));
  if (datatype !== 'BYTES') {
    const { size, read } = datatypes[datatype];
    return Array.from({ length: Math.min(count, Math.floor(bytes.length / size)) }, (_, i) => read(view, i * size));
  }
  const texts: string[] = [];
  for (let at = 0; texts.length < count && at + 4 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    texts.push(new TextDecoder().decode(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return texts;
}

export interface TensorStats {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** NaN and infinities; they are left out of the rest. */
  readonly notFinite: number;
}

/** undefined for texts and for tensors without a finite element. */
export function statsOf({ datatype, bytes }: TensorData): TensorStats | undefined {
  if (!isDatatype(datatype)) return undefined;
  const { size, read } = datatypes[datatype];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let [min, max, sum, count, notFinite] = [Infinity, -Infinity, 0, 0, 0];
  for (let at = 0; at + size <= bytes.length; at += size) {
    const value = Number(read(view, at));
    if (!Number.isFinite(value)) {
      notFinite++;
      continue;
    }
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    count++;
  }
  return count > 0 ? { min, max, mean: sum / count, notFinite } : undefined;
}
