/** Fields of parsed JSON of unknown origin, each with the place it stands at for messages. */
import { PenjingError } from '@penjing/core';

export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown, place: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(place, 'an object', value);
  // Without a prototype no name in a file is one of Object's own.
  return Object.assign(Object.create(null) as Record<string, unknown>, value);
}

export function checkKeys(fields: Fields, known: readonly string[], place: string): void {
  const odd = Object.keys(fields).find((key) => !known.includes(key));
  if (odd !== undefined) throw new PenjingError('E_PLAN', `${place} has an unknown field ${JSON.stringify(odd.slice(0, 80))}`, { hint: `Known are ${known.join(', ')}.` });
}

export function list(value: unknown, place: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw wrong(place, 'a list', value);
  if (value.length > most) throw new PenjingError('E_LIMIT', `${place} has ${value.length} items, more than ${most}`);
  return value;
}

export function text(value: unknown, place: string, longest: number): string {
  if (typeof value !== 'string' || value === '') throw wrong(place, 'a text', value);
  if (value.length > longest) throw new PenjingError('E_LIMIT', `${place} is longer than ${longest} characters`);
  return value;
}

export function texts(value: unknown, place: string, most: number, longest: number): string[] {
  return list(value, place, most).map((item, i) => text(item, `${place}[${i}]`, longest));
}

/** Finite, from `low` to `high`. */
export function number(value: unknown, place: string, low: number, high: number): number {
  if (typeof value !== 'number' || !(value >= low && value <= high)) throw wrong(place, `a number from ${low} to ${high}`, value);
  return value;
}

export function whole(value: unknown, place: string, low: number, high: number): number {
  const found = number(value, place, low, high);
  if (!Number.isSafeInteger(found)) throw wrong(place, 'a whole number', value);
  return found;
}

/** A name in the folder itself, and none that hides. */
export function fileIn(value: unknown, place: string): string {
  const file = text(value, place, 1024);
  if (!/^[A-Za-z0-9_][\w.-]{0,200}$/.test(file)) throw new PenjingError('E_PLAN', `${place} is no name of a file in this folder`);
  return file;
}

export function optional<K extends string, T>(fields: Fields, key: K, read: (value: unknown) => T): { readonly [Key in K]?: T } {
  return (fields[key] === undefined ? {} : { [key]: read(fields[key]) }) as { readonly [Key in K]?: T };
}

export function wrong(place: string, wanted: string, value: unknown): PenjingError {
  const found = value === undefined ? 'nothing' : typeof value === 'object' ? (value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object') : JSON.stringify(value)?.slice(0, 80);
  return new PenjingError('E_PLAN', `${place} must be ${wanted}, not ${found}`);
}
