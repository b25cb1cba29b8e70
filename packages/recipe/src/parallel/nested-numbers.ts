/** Numbers in nested lists, as JSON has tensors, and back. */
import { PenjingError } from '@penjing/core';

/** Throws `E_INPUT` for lists that are no tensor. */
export function nestedNumbers(value: unknown, name: string): { readonly shape: readonly number[]; readonly values: readonly number[] } {
  const values: number[] = [];
  return { shape: flatten(value, values, name, 0), values };
}

function flatten(value: unknown, into: number[], name: string, depth: number): number[] {
  if (typeof value === 'number' || typeof value === 'boolean') {
    into.push(Number(value));
    return [];
  }
  if (!Array.isArray(value) || depth > 32) throw new PenjingError('E_INPUT', `${name} must be numbers in nested lists`);
  const shapes = value.map((item) => flatten(item, into, name, depth + 1));
  const [first = []] = shapes;
  if (shapes.some((shape) => shape.join() !== first.join())) throw new PenjingError('E_INPUT', `the lists of ${name} are of different lengths`);
  return [value.length, ...first];
}

/** A number for no dimensions. What is not finite becomes null, as JSON has no word for it. */
export function nestedValues(shape: readonly number[], values: readonly number[]): unknown {
  const [first, ...rest] = shape;
  if (first === undefined) return values[0];
  const size = values.length / (first || 1);
  return Array.from({ length: first }, (_, i) => nestedValues(rest, values.slice(i * size, (i + 1) * size)));
}
