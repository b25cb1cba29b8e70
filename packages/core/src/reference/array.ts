/** Arrays as the reference kernels see them: doubles already rounded to their element type, bigints, or byte strings. */
import { type NumberDType, plainKernels } from '@penjing/kernels';
import { type DType, type TypedArray, byteSize, dtypes, typedView } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { type Shape, elementCount, stridesOf } from '../shape.js';
import { DenseTensor, StringTensor } from '../tensor.js';

/** 64-bit integers are bigints, complex numbers pairs of doubles, everything else that is a number a double. */
export type Data = Float64Array | BigInt64Array | BigUint64Array | Uint8Array[];

export interface NdArray {
  readonly kind: 'array';
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: Data;
}

/** What flows along an edge. */
export type Item = NdArray | SequenceItem | EmptyItem;

export interface SequenceItem {
  readonly kind: 'sequence';
  readonly items: readonly Item[];
}

/** An optional that holds nothing. */
export interface EmptyItem {
  readonly kind: 'empty';
}

/** Casts and packing; nothing here needs the arena. */
export const kernels = plainKernels({ arenaBytes: 64 });

const isBig = (dtype: DType): boolean => dtype === 'int64' || dtype === 'uint64';
const isComplex = (dtype: DType): boolean => dtypes[dtype].kind === 'complex';

/** Room for the elements of a shape. */
export function allocate(dtype: DType, count: number): Data {
  if (dtype === 'int64') return new BigInt64Array(count);
  if (dtype === 'uint64') return new BigUint64Array(count);
  if (dtype === 'string') return new Array<Uint8Array>(count).fill(new Uint8Array());
  return new Float64Array(isComplex(dtype) ? 2 * count : count);
}

/** An array over data that is already of the element type. */
export function arrayOf(dtype: DType, shape: Shape, data: Data): NdArray {
  return { kind: 'array', dtype, shape, data };
}

/** An array of doubles rounded to the element type; integers wrap, as a cast in C does. */
export function rounded(dtype: DType, shape: Shape, values: Float64Array | readonly number[]): NdArray {
  const from = values instanceof Float64Array ? values : Float64Array.from(values);
  return arrayOf(dtype, shape, roundTo(dtype, from));
}

function roundTo(dtype: DType, values: Float64Array): Data {
  const { kind, bits } = dtypes[dtype];
  if (dtype === 'int64') return BigInt64Array.from(values, wholeNumber);
  if (dtype === 'uint64') return BigUint64Array.from(values, wholeNumber);
  if (dtype === 'float64' || dtype === 'complex128') return values;
  if (dtype === 'float32' || dtype === 'complex64') return values.map(Math.fround);
  if (kind === 'float') return throughBits(dtype, values);
  if (kind === 'bool') return values.map((x) => (x !== 0 ? 1 : 0));
  if (bits >= 8) {
    const narrow = typedView(dtype, new Uint8Array((values.length * bits) / 8)) as Exclude<TypedArray, BigInt64Array | BigUint64Array>;
    for (let i = 0; i < values.length; i++) narrow[i] = Math.trunc(values[i]!);
    return Float64Array.from(narrow);
  }
  // Sub-byte integers wrap to their bits.
  return values.map((x) => {
    const wrapped = Math.trunc(x) & ((1 << bits) - 1);
    return kind === 'int' && wrapped >= 1 << (bits - 1) ? wrapped - (1 << bits) : wrapped;
  });
}

function wholeNumber(x: number): bigint {
  return Number.isFinite(x) ? BigInt(Math.trunc(x)) : x > 0 ? 2n ** 63n - 1n : -(2n ** 63n);
}

/** Values of a small float type after a round trip through its bits. */
function throughBits(dtype: DType, values: Float64Array): Float64Array {
  const codes = dtypes[dtype].bits === 16 ? new Uint16Array(values.length) : new Uint8Array(values.length);
  const wide = new Float32Array(values.length);
  kernels.fromFloat32(dtype as NumberDType, Float32Array.from(values), codes);
  kernels.toFloat32(dtype as NumberDType, codes, wide);
  return Float64Array.from(wide);
}

/** Reads a stored tensor. */
export function fromTensor(tensor: DenseTensor | StringTensor): NdArray {
  const { dtype, shape } = tensor;
  if (tensor.kind === 'string') return arrayOf(dtype, shape, [...tensor.values]);
  const { kind, bits } = dtypes[dtype];
  const raw = tensor.data;
  if (isBig(dtype)) return arrayOf(dtype, shape, raw.slice() as BigInt64Array | BigUint64Array);
  if (kind === 'float' && bits < 32) {
    const wide = new Float32Array(elementCount(shape));
    kernels.toFloat32(dtype as NumberDType, bits < 8 ? unpacked(tensor, false) : raw, wide);
    return arrayOf(dtype, shape, Float64Array.from(wide));
  }
  if (bits < 8) return arrayOf(dtype, shape, Float64Array.from(unpacked(tensor, kind === 'int')));
  return arrayOf(dtype, shape, Float64Array.from(raw as Float32Array));
}

/** One code per byte of a sub-byte tensor, sign-extended when asked. */
function unpacked(tensor: DenseTensor, signed: boolean): Uint8Array | Int8Array {
  const count = elementCount(tensor.shape);
  const codes = signed ? new Int8Array(count) : new Uint8Array(count);
  kernels.unpack(dtypes[tensor.dtype].bits as 2 | 4, signed, tensor.bytes, codes);
  return codes;
}

/** Stores an array as a tensor. */
export function toTensor(array: NdArray): DenseTensor | StringTensor {
  const { dtype, shape, data } = array;
  if (Array.isArray(data)) return new StringTensor(shape, data);
  const { kind, bits } = dtypes[dtype];
  if (bits < 8) {
    const codes = new Uint8Array(data.length);
    if (kind === 'float') kernels.fromFloat32(dtype as NumberDType, Float32Array.from(data as Float64Array), codes);
    else for (let i = 0; i < codes.length; i++) codes[i] = (data as Float64Array)[i]!;
    const bytes = new Uint8Array(byteSize(dtype, data.length));
    kernels.pack(bits as 2 | 4, codes, bytes);
    return new DenseTensor(dtype, shape, bytes);
  }
  const bytes = new Uint8Array(byteSize(dtype, elementCount(shape)));
  const view = typedView(dtype, bytes);
  if (kind === 'float' && bits < 32) kernels.fromFloat32(dtype as NumberDType, Float32Array.from(data as Float64Array), view);
  else (view as Float64Array).set(data as Float64Array);
  return new DenseTensor(dtype, shape, bytes);
}

/** The elements as doubles; 64-bit integers lose precision beyond 2^53. */
export function numbers(array: NdArray): Float64Array {
  if (array.data instanceof Float64Array) return array.data;
  if (Array.isArray(array.data)) throw new PenjingError('E_DTYPE', 'numbers were expected, got strings');
  return Float64Array.from(array.data as BigInt64Array, Number);
}

export function size(array: NdArray): number {
  return isComplex(array.dtype) ? array.data.length / 2 : array.data.length;
}

/** out[i] = x[index[i]]; a negative index gives `fill` (default zero). */
export function take(x: NdArray, shape: Shape, index: ArrayLike<number>, fill?: NdArray): NdArray {
  const out = allocate(x.dtype, index.length);
  const width = isComplex(x.dtype) ? 2 : 1;
  // Moving elements needs no knowledge of what they are: the two arrays are of one kind.
  const [to, from] = [out as Float64Array, x.data as Float64Array];
  const other = fill && (fill.data as Float64Array)[0]!;
  for (let i = 0; i < index.length; i++) {
    const at = index[i]!;
    if (at < 0) {
      if (other !== undefined) to[i] = other;
    } else if (width === 1) to[i] = from[at]!;
    else {
      to[2 * i] = from[2 * at]!;
      to[2 * i + 1] = from[2 * at + 1]!;
    }
  }
  return arrayOf(x.dtype, shape, out);
}

export function reshaped(x: NdArray, shape: Shape): NdArray {
  if (elementCount(shape) !== elementCount(x.shape)) {
    throw new PenjingError('E_SHAPE', `[${x.shape.join(', ')}] does not reshape to [${shape.join(', ')}]`);
  }
  return arrayOf(x.dtype, shape, x.data);
}

/** For every element of `out`, the element of `shape` that broadcasts to it. */
export function broadcastIndex(shape: Shape, out: Shape): Int32Array {
  const strides = stridesOf(shape);
  const offset = out.length - shape.length;
  return stridedIndex(out, out.map((_, axis) => (axis < offset || shape[axis - offset] === 1 ? 0 : strides[axis - offset]!)));
}

/** start + Σ position[axis]·stride[axis] for every position of a shape, in row-major order. */
export function stridedIndex(shape: Shape, strides: readonly number[], start = 0): Int32Array {
  const count = elementCount(shape);
  const index = new Int32Array(count);
  const position = new Array<number>(shape.length).fill(0);
  let at = start;
  for (let i = 0; i < count; i++) {
    index[i] = at;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return index;
}

export function permuted(x: NdArray, perm: readonly number[]): NdArray {
  const strides = stridesOf(x.shape);
  const shape = perm.map((axis) => x.shape[axis]!);
  return take(x, shape, stridedIndex(shape, perm.map((axis) => strides[axis]!)));
}

/** A broadcast copy. */
export function expanded(x: NdArray, shape: Shape): NdArray {
  return take(x, shape, broadcastIndex(x.shape, shape));
}

export const scalar = (dtype: DType, value: number): NdArray => rounded(dtype, [], [value]);
