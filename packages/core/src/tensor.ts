/** The tensor type that every package shares: a dtype, a shape and bytes that may still be on disk. */
import { type DType, type TypedArray, byteSize, bytesOf, dtypes, typedView } from './dtype.js';
import { PenjingError } from './errors.js';
import { type Shape, elementCount, matrixView } from './shape.js';

/** Half-open range of rows (indices of dimension 0). */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/**
 * A tensor of any size. `load` and `rows` give little-endian bytes, row-major; sub-byte types are packed over
 * the flattened tensor, first element in the low bits.
 */
export interface Tensor {
  /** Tells the implementations apart without `instanceof`. */
  readonly kind: 'dense' | 'lazy' | 'string' | 'sparse';
  readonly dtype: DType;
  readonly shape: Shape;
  /** Size of the loaded bytes. */
  readonly byteLength: number;
  load(): Promise<Uint8Array>;
  /** Bytes of the rows [start, end); for sub-byte types the range must start and end on a byte. */
  rows(range: RowRange): Promise<Uint8Array>;
}

/** A tensor whose bytes are in memory. */
export class DenseTensor implements Tensor {
  readonly kind = 'dense';
  readonly dtype: DType;
  readonly shape: Shape;
  readonly bytes: Uint8Array;

  /** Throws `E_SHAPE` when the bytes are not exactly those of `shape`. */
  constructor(dtype: DType, shape: Shape, bytes: Uint8Array) {
    const expected = byteSize(dtype, elementCount(shape));
    if (bytes.byteLength !== expected) {
      throw new PenjingError(
        'E_SHAPE',
        `${dtype} [${shape.join(', ')}] takes ${expected} bytes, got ${bytes.byteLength}`,
      );
    }
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytes;
  }

  /** Wraps a typed array of the raw elements (`Uint16Array` for half floats, packed bytes for sub-byte types). */
  static of(dtype: DType, shape: Shape, data: TypedArray): DenseTensor {
    if (data.constructor.name !== dtypes[dtype].array) {
      throw new PenjingError('E_DTYPE', `${dtype} is held in ${dtypes[dtype].array}, got ${data.constructor.name}`);
    }
    return new DenseTensor(dtype, shape, bytesOf(data));
  }

  get byteLength(): number {
    return this.bytes.byteLength;
  }

  /** The raw elements as the typed array of `dtypes[dtype].array`. */
  get data(): TypedArray {
    return typedView(this.dtype, this.bytes);
  }

  async load(): Promise<Uint8Array> {
    return this.bytes;
  }

  async rows(range: RowRange): Promise<Uint8Array> {
    const { offset, length } = rowBytes(this, range);
    return this.bytes.subarray(offset, offset + length);
  }
}

/** A tensor of byte strings (ONNX keeps them as bytes; they are usually UTF-8). */
export class StringTensor implements Tensor {
  readonly kind = 'string';
  readonly dtype = 'string';
  readonly shape: Shape;
  readonly values: readonly Uint8Array[];

  constructor(shape: Shape, values: readonly Uint8Array[]) {
    if (values.length !== elementCount(shape)) {
      throw new PenjingError('E_SHAPE', `string [${shape.join(', ')}] got ${values.length} values`);
    }
    this.shape = shape;
    this.values = values;
  }

  get byteLength(): number {
    return this.values.reduce((sum, value) => sum + value.byteLength, 0);
  }

  load(): Promise<Uint8Array> {
    return Promise.reject(new PenjingError('E_DTYPE', 'string tensors have no flat bytes; use values'));
  }

  rows(): Promise<Uint8Array> {
    return this.load();
  }
}

/** A sparse tensor in the coordinate form of ONNX SparseTensorProto, kept as it was stored. */
export class SparseTensor implements Tensor {
  readonly kind = 'sparse';
  readonly dtype: DType;
  readonly shape: Shape;
  /** (nonzeros). */
  readonly values: Tensor;
  /** int64, (nonzeros) linear or (nonzeros, rank). */
  readonly indices: Tensor;

  constructor(shape: Shape, values: Tensor, indices: Tensor) {
    this.dtype = values.dtype;
    this.shape = shape;
    this.values = values;
    this.indices = indices;
  }

  get byteLength(): number {
    return this.values.byteLength + this.indices.byteLength;
  }

  load(): Promise<Uint8Array> {
    return Promise.reject(new PenjingError('E_DTYPE', 'a sparse tensor has no flat bytes; use values and indices'));
  }

  rows(): Promise<Uint8Array> {
    return this.load();
  }
}

/** Byte offset and length of a row range; throws `E_SHAPE` outside the tensor or inside a byte. */
export function rowBytes(
  tensor: { readonly dtype: DType; readonly shape: Shape },
  range: RowRange,
): { offset: number; length: number } {
  const { rows, cols } = matrixView(tensor.shape);
  const whole = Number.isInteger(range.start) && Number.isInteger(range.end);
  if (!whole || range.start < 0 || range.end > rows || range.start > range.end) {
    throw new PenjingError('E_SHAPE', `rows ${range.start}..${range.end} are outside ${rows} rows`);
  }
  const bits = dtypes[tensor.dtype].bits;
  const offset = (range.start * cols * bits) / 8;
  const end = range.end === rows ? byteSize(tensor.dtype, rows * cols) : (range.end * cols * bits) / 8;
  if (!Number.isInteger(offset) || !Number.isInteger(end)) {
    throw new PenjingError('E_SHAPE', `rows ${range.start}..${range.end} do not fall on bytes`);
  }
  return { offset, length: end - offset };
}

/** Loads a numeric tensor into memory. */
export async function toDense(tensor: Tensor): Promise<DenseTensor> {
  if (tensor.kind === 'dense') return tensor as DenseTensor;
  return new DenseTensor(tensor.dtype, tensor.shape, await tensor.load());
}
