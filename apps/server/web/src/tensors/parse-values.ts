/** Values typed or loaded as JSON, nested or flat, made into a tensor of the type and shape that the model wants. */
import { type Datatype, isDatatype } from './datatypes.js';
import { bytesTensor, checkShape, countOf, fillTensor, sayShape, type TensorData, TensorProblem } from './tensor-data.js';

/** What a model says of one of its inputs. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype | 'BYTES';
  /** −1 for any size. */
  readonly shape: readonly number[];
}

// Deeper than any tensor; a walk without a limit would overflow the stack.
const MAX_RANK = 32;

/** `typed` is the shape in the shape field: used for flat values. Throws a {@link TensorProblem}. */
export function parseValues(text: string, { datatype, shape: wanted }: TensorSpec, typed: readonly number[]): TensorData {
  if (text.trim() === '') throw new TensorProblem('tensor.error.empty');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A text needs no quotes when it is the only one.
    if (datatype !== 'BYTES') throw new TensorProblem('tensor.error.json');
    value = [text];
  }
  const flat: unknown[] = [];
  const nested = flatten(value, flat, 0);
  const shape = nested.length === wanted.length ? nested : shapeFor(flat.length, nested, wanted, typed);
  checkShape(wanted, shape);
  if (!isDatatype(datatype)) {
    if (!flat.every((element) => typeof element === 'string')) throw new TensorProblem('tensor.error.json');
    return bytesTensor(flat, shape);
  }
  const numbers = flat.map((element) => {
    if (typeof element === 'number' || typeof element === 'boolean') return element;
    throw new TensorProblem('tensor.error.json');
  });
  return fillTensor(datatype, shape, (i) => numbers[i]!);
}

/** Values without the outer dimensions of size 1 are taken, and flat values fill the typed shape. */
function shapeFor(count: number, nested: readonly number[], wanted: readonly number[], typed: readonly number[]): readonly number[] {
  const outer = wanted.length - nested.length;
  if (nested.length > 1 && outer > 0) return [...new Array<number>(outer).fill(1), ...nested];
  if (typed.length !== wanted.length) throw new TensorProblem('tensor.error.shape', { wanted: sayShape(wanted), given: sayShape(typed) });
  const shape = fit(count, wanted, typed);
  if (countOf(shape) !== count) throw new TensorProblem('tensor.error.count', { given: count, shape: sayShape(shape), wanted: countOf(shape) });
  return shape;
}

/** The last dimension of any size takes what the others leave: [1, 1] becomes [1, 5] for five values. */
function fit(count: number, wanted: readonly number[], typed: readonly number[]): readonly number[] {
  if (countOf(typed) === count) return typed;
  const free = wanted.findLastIndex((size) => size < 0);
  if (free < 0) return typed;
  const others = countOf(typed.filter((_, i) => i !== free));
  return others > 0 && count % others === 0 ? typed.map((size, i) => (i === free ? count / others : size)) : typed;
}

/** Appends the elements and gives the shape; rows must be alike. */
function flatten(value: unknown, flat: unknown[], depth: number): number[] {
  if (!Array.isArray(value)) {
    flat.push(value);
    return [];
  }
  if (depth > MAX_RANK) throw new TensorProblem('tensor.error.json');
  if (value.length === 0) return [0];
  let inner: number[] | undefined;
  for (const element of value as unknown[]) {
    const shape = flatten(element, flat, depth + 1);
    if (inner && (inner.length !== shape.length || inner.some((size, i) => size !== shape[i]))) throw new TensorProblem('tensor.error.ragged');
    inner = shape;
  }
  return [value.length, ...inner!];
}

/** `1, 3, 224, 224`; undefined when a part is no size. */
export function parseShape(text: string): number[] | undefined {
  const parts = text.split(/[,\s×x]+/).filter((part) => part !== '');
  const sizes = parts.map(Number);
  return sizes.every((size) => Number.isSafeInteger(size) && size >= 0) ? sizes : undefined;
}
