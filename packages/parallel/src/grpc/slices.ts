/** Tensors of a request into frames of bounded size, and back. */
import { byteSize, DenseTensor, elementCount, type Feeds, type Fetches, PenjingError, type Shape, StringTensor } from '@penjing/core';
import { tensorFromBytes, tensorToBytes, type V2Datatype, v2DatatypeOf, v2Limits, type V2Tensor, v2Types, wireSize } from '@penjing/graph-io/v2';
import { broken } from './frame.js';

export interface Slices {
  readonly tensors: readonly V2Tensor[];
  readonly last: boolean;
}

/**
 * What fits in a frame travels whole, as V2 has it; a larger tensor in slices: uint8 tensors whose parameters say of which type and shape the whole is, and where
 * in its bytes they stand.
 */
export function* cutTensors(values: Feeds, frameBytes: number): Generator<Slices> {
  let held: V2Tensor[] = [];
  let bytes = 0;
  for (const [name, tensor] of Object.entries(values)) {
    const size = wireSize(tensor);
    if (held.length > 0 && bytes + size > frameBytes) {
      yield { tensors: held, last: false };
      held = [];
      bytes = 0;
    }
    if (size <= frameBytes) {
      held.push({ name, tensor });
      bytes += size;
      continue;
    }
    const all = tensorToBytes(tensor);
    const whole = { of: v2DatatypeOf(tensor.dtype), shape: tensor.shape.join(','), size };
    let offset = 0;
    for (; size - offset > frameBytes; offset += frameBytes) yield { tensors: [slice(name, all.subarray(offset, offset + frameBytes), { ...whole, offset })], last: false };
    held = [slice(name, all.subarray(offset), { ...whole, offset })];
    bytes = size - offset;
  }
  yield { tensors: held, last: true };
}

function slice(name: string, bytes: Uint8Array, parameters: V2Tensor['parameters']): V2Tensor {
  return { name, tensor: new DenseTensor('uint8', [bytes.length], bytes), parameters: parameters! };
}

interface Growing {
  readonly name: string;
  readonly datatype: V2Datatype;
  readonly shape: Shape;
  readonly count: number;
  readonly bytes: Uint8Array;
  filled: number;
}

/** Puts the tensors of one request together again. */
export class Assembly {
  readonly #limit: number;
  readonly #done = new Map<string, DenseTensor | StringTensor>();
  #bytes = 0;
  #growing: Growing | undefined;

  constructor(requestBytes: number) {
    this.#limit = requestBytes;
  }

  /** Throws `E_LIMIT` or `E_REQUEST`, before it allocates. Bytes are copied: they lie in a buffer of gRPC, where engines cannot use them. */
  add(tensors: readonly V2Tensor[]): void {
    for (const { name, tensor, parameters } of tensors) {
      if (parameters && 'of' in parameters) this.#slice(name, tensor, parameters);
      else {
        this.#claim(name, wireSize(tensor));
        this.#done.set(name, tensor.kind === 'dense' ? new DenseTensor(tensor.dtype, tensor.shape, new Uint8Array(tensor.bytes)) : new StringTensor(tensor.shape, tensor.values.map((value) => new Uint8Array(value))));
      }
    }
  }

  finish(): Fetches {
    if (this.#growing) throw broken(`tensor ${this.#growing.name} has not come whole`);
    return Object.fromEntries(this.#done);
  }

  #slice(name: string, tensor: V2Tensor['tensor'], { of, shape, size, offset }: NonNullable<V2Tensor['parameters']>): void {
    if (tensor.kind !== 'dense' || tensor.dtype !== 'uint8') throw broken(`a slice of ${name} is no list of bytes`);
    if (offset === 0) {
      const whole = wholeOf(name, of, shape, size);
      this.#claim(name, whole.size);
      this.#growing = { ...whole, name, bytes: new Uint8Array(whole.size), filled: 0 };
    }
    const growing = this.#growing;
    if (growing?.name !== name || growing.filled !== offset || offset + tensor.bytes.length > growing.bytes.length) throw broken(`a slice of ${name} does not follow the one before`);
    growing.bytes.set(tensor.bytes, growing.filled);
    growing.filled += tensor.bytes.length;
    if (growing.filled < growing.bytes.length) return;
    this.#done.set(name, tensorFromBytes(growing.datatype, growing.shape, growing.count, growing.bytes, name));
    this.#growing = undefined;
  }

  #claim(name: string, size: number): void {
    if (this.#growing) throw broken(`tensor ${this.#growing.name} has not come whole`);
    if (this.#done.has(name)) throw broken(`tensor ${name} stands twice`);
    if (this.#done.size >= v2Limits.tensors) throw new PenjingError('E_LIMIT', `a request has more than ${v2Limits.tensors} tensors`);
    this.#bytes += size;
    if (this.#bytes > this.#limit) throw new PenjingError('E_LIMIT', `the tensors of a request take more than ${this.#limit} bytes`, { hint: 'Send smaller batches, or raise limits.requestBytes of every stage.' });
  }
}

/** What a slice says of the whole, checked; byte strings are counted when they are read. */
function wholeOf(name: string, of: unknown, shape: unknown, size: unknown): { datatype: V2Datatype; shape: Shape; count: number; size: number } {
  if (typeof of !== 'string' || !Object.hasOwn(v2Types, of) || typeof shape !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw broken(`a slice of ${name} does not say of what`);
  const datatype = of as V2Datatype;
  const dims = shape === '' ? [] : shape.split(',').map(Number);
  if (dims.length > v2Limits.rank || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) throw broken(`a slice of ${name} has no shape`);
  const count = elementCount(dims);
  if (datatype !== 'BYTES' && byteSize(v2Types[datatype].dtype, count) !== size) throw broken(`${name} is said to take ${size} bytes, which its shape does not`);
  return { datatype, shape: dims, count, size };
}
