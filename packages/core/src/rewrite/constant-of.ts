/** The content of constant values: initializers, and Constant nodes in function bodies, which have no initializers. */
import { denseOf } from '../builder.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { elementCount } from '../shape.js';
import { DenseTensor, StringTensor, type Tensor } from '../tensor.js';

/** What a Constant node holds; undefined for sparse ones, and where the attribute is the caller's. */
export function constantTensor(node: Node): Tensor | undefined {
  for (const attr of node.attributes.values()) if (attr.kind === 'ref') return undefined;
  const stored = node.tensor('value');
  if (stored) return stored;
  const int = node.attributes.get('value_int');
  if (int?.kind === 'int') return DenseTensor.of('int64', [], BigInt64Array.of(int.value));
  const ints = node.attributes.get('value_ints');
  if (ints?.kind === 'ints') return DenseTensor.of('int64', [ints.value.length], BigInt64Array.from(ints.value));
  const float = node.float('value_float');
  if (float !== undefined) return denseOf('float32', [], [float]);
  const floats = node.floats('value_floats');
  if (floats) return denseOf('float32', [floats.length], floats);
  const string = node.attributes.get('value_string');
  if (string?.kind === 'string') return new StringTensor([], [string.value]);
  const strings = node.attributes.get('value_strings');
  if (strings?.kind === 'strings') return new StringTensor([strings.value.length], strings.value);
  return undefined;
}

/** The stored content of a value, whatever its size; undefined for computed values and for defaults of inputs. */
export function storedTensor(value: Value | undefined, overridable: ReadonlySet<Value>): Tensor | undefined {
  if (!value) return undefined;
  const { producer } = value;
  if (!producer) return overridable.has(value) ? undefined : value.tensor;
  return producer.opType === 'Constant' && producer.domain === '' ? constantTensor(producer) : undefined;
}

/** Elements of a dense tensor of float32, float64 or whole numbers; undefined for other types. */
export function numbersOf(tensor: Tensor | undefined): number[] | undefined {
  if (tensor?.kind !== 'dense' || READABLE.has(tensor.dtype) === false) return undefined;
  return Array.from((tensor as DenseTensor).data as ArrayLike<number | bigint>, Number);
}

const READABLE: ReadonlySet<string> = new Set([
  'float32', 'float64', 'int64', 'int32', 'int16', 'int8', 'uint64', 'uint32', 'uint16', 'uint8', 'bool',
]);

/** The number of which a tensor consists, read from float16 and bfloat16 as well. */
export function scalarOf(tensor: Tensor | undefined): number | undefined {
  if (tensor?.kind !== 'dense' || elementCount(tensor.shape) !== 1) return undefined;
  const numbers = numbersOf(tensor);
  if (numbers) return numbers[0];
  const bits = Number((tensor as DenseTensor).data[0]);
  if (tensor.dtype === 'float16') return halfToNumber(bits);
  if (tensor.dtype === 'bfloat16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
  return undefined;
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
