/** Tensors of a pickle as tensors of ours: lazy ranges of the file; one tensor that has several names stays one. */
import { DenseTensor, dtypes, lazy, PenjingError, SparseTensor, type Tensor } from '@penjing/core';
import { type StorageRange, stridedTensor } from './strided.js';
import type { PyStorage, PyTensor, Quantizer } from './values.js';

/** Finds the bytes of a storage; `name` is the tensor that needs them. */
export type FindStorage = (storage: PyStorage, name: string) => StorageRange;

export interface QuantizedParts {
  /** int8, uint8 or int32, in the shape of the tensor. */
  readonly values: Tensor;
  /** float32, scalar or one per index of `axis`. */
  readonly scales: Tensor;
  /** int64, likewise. */
  readonly zeroPoints: Tensor;
  /** Undefined when one scale is for everything. */
  readonly axis: number | undefined;
}

export class Materializer {
  readonly #find: FindStorage;
  readonly #known = new Map<string, Tensor>();

  constructor(find: FindStorage) {
    this.#find = find;
  }

  /** Quantized tensors come dequantized to float32: (value - zero point) * scale, as torch computes it. */
  tensor(from: PyTensor, name: string): Tensor {
    return from.quantizer ? dequantized(this.parts(from, name)!) : this.#plain(from, name);
  }

  /** Integers, scales and zero points of a quantized tensor; undefined for others. */
  parts(from: PyTensor, name: string): QuantizedParts | undefined {
    const { quantizer } = from;
    if (!quantizer) return undefined;
    const values = this.#plain(from, name);
    if (quantizer.kind === 'tensor') return { values, ...ofTensor(quantizer, name), axis: undefined };
    return {
      values,
      scales: lazy.cast(this.#plain(quantizer.scales, `the scales of ${name}`), 'float32'),
      zeroPoints: lazy.cast(this.#plain(quantizer.zeroPoints, `the zero points of ${name}`), 'int64'),
      axis: quantizer.axis,
    };
  }

  #plain(from: PyTensor, name: string): Tensor {
    const { source, dtype, shape } = from;
    if (source.kind === 'dense') return new DenseTensor(dtype, shape, source.bytes);
    if (source.kind === 'sparse') {
      const indices = lazy.transpose(this.#plain(source.indices, `the indices of ${name}`), [1, 0]);
      return new SparseTensor(shape, this.#plain(source.values, `the values of ${name}`), indices);
    }
    const { storage, offset, strides } = source;
    const key = [storage.key, storage.offset, dtype, offset, shape.join(), strides.join()].join(':');
    let tensor = this.#known.get(key);
    if (!tensor) {
      const whole = this.#find(storage, name);
      // Before torch 1.6 a storage could be a part of another.
      const width = dtypes[storage.type?.dtype ?? 'uint8'].bits / 8;
      const range = { ...whole, offset: whole.offset + storage.offset * width, byteLength: Math.min(storage.count * width, whole.byteLength - storage.offset * width) };
      tensor = stridedTensor(range, { dtype, shape, strides, offset }, name);
      this.#known.set(key, tensor);
    }
    return tensor;
  }
}

function ofTensor({ scale, zeroPoint }: Extract<Quantizer, { kind: 'tensor' }>, name: string): Pick<QuantizedParts, 'scales' | 'zeroPoints'> {
  if (!Number.isSafeInteger(zeroPoint)) throw new PenjingError('E_PICKLE', `${name} has the zero point ${zeroPoint}, which is no integer`);
  return { scales: DenseTensor.of('float32', [], Float32Array.of(scale)), zeroPoints: DenseTensor.of('int64', [], BigInt64Array.of(BigInt(zeroPoint))) };
}

function dequantized({ values, scales, zeroPoints, axis }: QuantizedParts): Tensor {
  const along = values.shape.map((size, i) => (i === axis ? size : 1));
  const spread = (tensor: Tensor): Tensor => lazy.reshape(lazy.cast(tensor, 'float32'), axis === undefined ? [] : along);
  const shifted = lazy.add(lazy.cast(values, 'float32'), lazy.multiply(spread(zeroPoints), lazy.fill('float32', [], -1)));
  return lazy.multiply(shifted, spread(scales));
}
