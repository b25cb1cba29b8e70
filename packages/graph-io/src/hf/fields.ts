/** Reads the fields of a configuration with their types; every error names the field. */
import { PenjingError } from '@penjing/core';
import { isObject, type JsonObject } from './folder.js';

/** No size in a config comes near; products of two stay safe integers. */
const MAX_SIZE = 2 ** 26;

/** The deepest decoders have about 130 layers; the graph is built before the weights of the last one are missed. */
export const MAX_LAYERS = 1024;

/** Heads are 64 to 256 wide; tables of frequencies are made before the weights show the true width. */
export const MAX_HEAD_DIM = 2 ** 14;

/** `null` counts as absent everywhere: Hugging Face writes it for "not set". */
export class Fields {
  readonly values: JsonObject;
  /** `config.json`, or `config.json: rope_scaling`. */
  readonly where: string;

  constructor(values: JsonObject, where: string) {
    this.values = values;
    this.where = where;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  get(name: string): unknown {
    return Object.hasOwn(this.values, name) ? (this.values[name] ?? undefined) : undefined;
  }

  /** A size: an integer from 1 to `most`. */
  size(name: string, fallback?: number, most = MAX_SIZE): number {
    const value = this.#or(name, fallback);
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw this.wrong(name, `a size from 1 to ${most}`);
  }

  /** Two sizes, which one number may give: height and width. */
  pair(name: string, fallback?: number, most = MAX_SIZE): readonly [number, number] {
    const value = this.get(name);
    if (!Array.isArray(value)) {
      const size = this.size(name, fallback, most);
      return [size, size];
    }
    const list = value as readonly unknown[];
    const [first, second] = list;
    const known = (size: unknown): size is number => typeof size === 'number' && Number.isInteger(size) && size >= 1 && size <= most;
    if (list.length === 2 && known(first) && known(second)) return [first, second];
    throw this.wrong(name, `a size from 1 to ${most}, or two of them`);
  }

  number(name: string, fallback?: number): number {
    const value = this.#or(name, fallback);
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.wrong(name, 'a number');
  }

  /** A number above 0. */
  positive(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (value > 0) return value;
    throw this.wrong(name, 'a number above 0');
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.#or(name, fallback);
    if (typeof value === 'boolean') return value;
    throw this.wrong(name, 'true or false');
  }

  /** `count` numbers above 0. */
  numbers(name: string, count: number): readonly number[] {
    const value = this.#or(name, undefined);
    if (Array.isArray(value) && value.length === count) {
      const list = value as readonly unknown[];
      if (list.every((item): item is number => typeof item === 'number' && Number.isFinite(item) && item > 0)) return list;
    }
    throw this.wrong(name, `a list of ${count} numbers above 0`);
  }

  /** What `read` makes of a field; undefined when the file says null, `fallback` when it says nothing. */
  nullable<T>(name: string, read: (name: string) => T, fallback: T | undefined): T | undefined {
    if (!Object.hasOwn(this.values, name)) return fallback;
    return this.has(name) ? read(name) : undefined;
  }

  /** `count` values, one per layer; undefined when absent. */
  perLayer<T>(name: string, count: number, known: (item: unknown) => item is T, wanted: string): readonly T[] | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.length === count) {
      const list = value as readonly unknown[];
      if (list.every(known)) return list;
    }
    throw this.wrong(name, `a list of ${count} ${wanted}`);
  }

  /** One of the keys of a table. */
  choice<K extends string>(name: string, table: Readonly<Record<K, unknown>>, fallback?: K): K {
    const value = this.#or(name, fallback);
    if (typeof value === 'string' && Object.hasOwn(table, value)) return value as K;
    const known = Object.keys(table).join(', ');
    throw new PenjingError('E_CONFIG', `${this.where}: ${name} ${show(value)} is not supported`, {
      hint: `Supported here: ${known}.`,
      details: { field: name, value, supported: Object.keys(table) },
    });
  }

  /** The fields of an object inside this one; undefined when absent. */
  inside(name: string): Fields | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw this.wrong(name, 'an object');
    return new Fields(value, `${this.where}: ${name}`);
  }

  /** Throws `E_CONFIG` when a field says something other than `allowed`: it would change the results. */
  only(name: string, allowed: unknown, why: string): void {
    const value = this.get(name);
    if (value === undefined || value === allowed) return;
    throw new PenjingError('E_CONFIG', `${this.where}: ${name} ${show(value)} is not supported: ${why}`, {
      details: { field: name, value },
    });
  }

  wrong(name: string, wanted: string): PenjingError {
    const value = this.get(name);
    const given = value === undefined ? 'is missing' : `is ${show(value)}`;
    return new PenjingError('E_CONFIG', `${this.where}: ${name} ${given}, it must be ${wanted}`, {
      details: { field: name, value },
    });
  }

  #or(name: string, fallback: unknown): unknown {
    return this.get(name) ?? fallback;
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
