/** TensorProto to Tensor: large payloads stay where they are, small and varint-coded ones come into memory. */
import {
  byteSize, type ByteSource, DenseTensor, type DType, dtypeOfOnnx, dtypes, elementCount, lazy, PenjingError, type Shape,
  SparseTensor, StringTensor, type Tensor,
} from '@penjing/core';
import { LAZY_ABOVE_BYTES, type OnnxLimits } from '../limits.js';
import { limit } from './decode.js';
import { externalRange } from './external-location.js';
import { setLabel } from './labels.js';
import type { Payload } from './message.js';
import type { SparseTensorProto, TensorProto } from './schema.js';
import { dataChunks, dataFieldOf, elementsOfVarints, holdsVarints } from './tensor-data.js';

export interface TensorReader {
  readonly source: ByteSource;
  readonly limits: OnnxLimits;
  /** The external data file of a checked location. */
  readonly external: (location: string) => Promise<ByteSource>;
}

const EXTERNAL = 1;

/** Throws `E_ONNX_TENSOR`, `E_SHAPE`, `E_DTYPE`, `E_EXTERNAL_DATA`, `E_TRUNCATED` or `E_LIMIT`, naming the tensor. */
export async function readTensor(proto: TensorProto, where: string, reader: TensorReader): Promise<Tensor> {
  const name = proto.name ? `tensor '${proto.name}'` : where;
  const tensor = await readData(proto, name, reader);
  setLabel(tensor, {
    ...(proto.name !== undefined && { name: proto.name }),
    ...(proto.doc && { doc: proto.doc }),
    ...(proto.metadata && { metadata: proto.metadata }),
    ...(proto.extra && { extra: proto.extra }),
  });
  return tensor;
}

export async function readSparseTensor(proto: SparseTensorProto, where: string, reader: TensorReader): Promise<SparseTensor> {
  if (!proto.values || !proto.indices) throw broken(where, 'is a sparse tensor without values or indices');
  const shape = checkedShape(proto.dims ?? [], where, reader.limits);
  const values = await readTensor(proto.values, `values of ${where}`, reader);
  const indices = await readTensor(proto.indices, `indices of ${where}`, reader);
  return new SparseTensor(shape, values, indices);
}

async function readData(proto: TensorProto, name: string, reader: TensorReader): Promise<Tensor> {
  const dtype = dtypeOfOnnx.get(proto.dataType ?? 0);
  if (dtype === undefined) {
    throw new PenjingError('E_DTYPE', `${name} has the unknown element type ${proto.dataType ?? 0}`);
  }
  if (proto.segment) throw broken(name, 'is stored in segments, which no runtime reads');
  const shape = checkedShape(proto.dims ?? [], name, reader.limits);
  const count = elementCount(shape);
  if (dtype === 'string') return readStrings(proto, shape, count, name);
  const size = byteSize(dtype, count);

  if (proto.dataLocation === EXTERNAL) {
    const { location, offset } = externalRange(proto.externalData ?? [], size, name, reader.limits);
    const file = await reader.external(location);
    if (offset + size > file.size) {
      throw new PenjingError('E_TRUNCATED', `${name} reaches to byte ${offset + size} of ${location} (${file.size} bytes)`, {
        hint: 'The external data file is cut short or belongs to another model.',
      });
    }
    return range(file, { offset, length: size }, dtype, shape);
  }
  if (proto.rawData) {
    if (proto.rawData.length !== size) throw wrongSize(name, dtype, shape, size, proto.rawData.length);
    return range(reader.source, proto.rawData, dtype, shape);
  }
  const chunks = dataChunks(proto, dtype);
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (holdsVarints(dataFieldOf(dtype))) {
    if (length > reader.limits.fieldBytes) throw limit(`${name} has ${length} bytes of varints`);
    const parts = await Promise.all(chunks.map((chunk) => chunkBytes(chunk, reader.source)));
    return new DenseTensor(dtype, shape, elementsOfVarints(dtype, count, parts, name));
  }
  if (length !== size) throw wrongSize(name, dtype, shape, size, length);
  if (chunks.length === 1) return range(reader.source, chunks[0]!, dtype, shape);
  return new DenseTensor(dtype, shape, await joined(chunks, length, reader));
}

/** A range of a source: read now when small, lazy otherwise. */
async function range(source: ByteSource, payload: Payload, dtype: DType, shape: Shape): Promise<Tensor> {
  if (payload.length > LAZY_ABOVE_BYTES && payload.offset >= 0) return lazy.source(source, payload.offset, dtype, shape);
  return new DenseTensor(dtype, shape, await chunkBytes(payload, source));
}

/** A copy of its own, so that nothing larger stays in memory with it. */
async function chunkBytes(chunk: Payload, source: ByteSource): Promise<Uint8Array> {
  if (chunk.bytes) return chunk.bytes.subarray(0, chunk.length);
  return Uint8Array.from(await source.read(chunk.offset, chunk.length));
}

async function joined(chunks: readonly Payload[], length: number, reader: TensorReader): Promise<Uint8Array> {
  if (length > reader.limits.fieldBytes) throw limit(`a tensor of ${length} bytes is stored in ${chunks.length} parts`);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(await chunkBytes(chunk, reader.source), at);
    at += chunk.length;
  }
  return bytes;
}

function readStrings(proto: TensorProto, shape: Shape, count: number, name: string): StringTensor {
  if (proto.dataLocation === EXTERNAL || proto.rawData) throw broken(name, 'holds strings outside of string_data');
  const values = proto.stringData ?? [];
  if (values.length !== count) throw broken(name, `[${shape.join(', ')}] needs ${count} strings, it holds ${values.length}`);
  return new StringTensor(shape, values);
}

function checkedShape(dims: readonly number[], name: string, limits: OnnxLimits): Shape {
  if (dims.length > limits.rank) throw limit(`${name} has ${dims.length} dimensions`);
  try {
    elementCount(dims);
  } catch (cause) {
    throw new PenjingError('E_SHAPE', `${name}: ${cause instanceof Error ? cause.message : 'bad shape'}`, { cause });
  }
  return dims;
}

function wrongSize(name: string, dtype: DType, shape: Shape, expected: number, found: number): PenjingError {
  return broken(name, `${dtype} [${shape.join(', ')}] takes ${expected} bytes (${dtypes[dtype].bits} bits each), it holds ${found}`);
}

function broken(name: string, what: string): PenjingError {
  return new PenjingError('E_ONNX_TENSOR', `${name} ${what}`, { hint: 'The file is damaged; export it again.' });
}
