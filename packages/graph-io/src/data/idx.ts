/** IDX, the format of MNIST: big-endian arrays of bytes and numbers, their labels in a file beside them. */
import { basename, dirname, join } from 'node:path';
import { DenseTensor, type DType, dtypes, elementCount, PenjingError } from '@penjing/core';
import { type DataItem, type DataSource, dataSource } from './data-source.js';
import { hashOf, readBounded } from './read-bounded.js';

const TYPES: Readonly<Record<number, DType>> = { 0x08: 'uint8', 0x09: 'int8', 0x0b: 'int16', 0x0c: 'int32', 0x0d: 'float32', 0x0e: 'float64' };

interface IdxArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian. */
  readonly bytes: Uint8Array;
}

/** Dimensions as `idx3` in a name says; four bytes that no text starts with. */
export function isIdx(head: Uint8Array): boolean {
  return head.length >= 4 && head[0] === 0 && head[1] === 0 && TYPES[head[2]!] !== undefined && head[3]! >= 1 && head[3]! <= 4;
}

export async function openIdx(path: string, bytes: Uint8Array): Promise<DataSource> {
  const array = parseIdx(path, bytes);
  const found = await labelsBeside(path);
  const [count = 0, ...rest] = array.shape;
  const labels = found && labelsOf(found.path, parseIdx(found.path, found.bytes), count);
  const size = (elementCount(rest) * dtypes[array.dtype].bits) / 8;
  const isPicture = array.dtype === 'uint8' && (rest.length === 2 || (rest.length === 3 && (rest[2] === 1 || rest[2] === 3)));
  return dataSource({
    format: 'idx', count, labelled: labels !== undefined,
    hash: hashOf(bytes, ...(found ? [found.bytes] : [])),
    async item(index): Promise<DataItem> {
      const data = array.bytes.slice(index * size, (index + 1) * size);
      const label = labels && { label: labels[index]! };
      if (isPicture) return { kind: 'picture', picture: { height: rest[0]!, width: rest[1]!, channels: rest[2] ?? 1, data }, ...label };
      return { kind: 'tensors', tensors: new Map([['', new DenseTensor(array.dtype, rest, data)]]), ...label };
    },
  });
}

/** `train-images-idx3-ubyte.gz` has `train-labels-idx1-ubyte.gz` beside it, either packed or not. */
async function labelsBeside(path: string): Promise<{ path: string; bytes: Uint8Array } | undefined> {
  const name = basename(path).replace(/\.gz$/, '');
  const labels = name.replace('images', 'labels').replace(/idx\d/, 'idx1');
  if (labels === name) return undefined;
  for (const candidate of [labels, `${labels}.gz`]) {
    const found = join(dirname(path), candidate);
    const bytes = await readBounded(found).catch((error: { code?: string }) => {
      if (error.code === 'E_NOT_FOUND') return undefined;
      throw error;
    });
    if (bytes) return { path: found, bytes };
  }
  return undefined;
}

function labelsOf(path: string, { dtype, shape, bytes }: IdxArray, count: number): number[] {
  if (dtype !== 'uint8' || shape.length !== 1) throw new PenjingError('E_DATA', `${path} holds no labels: it is ${dtype} [${shape.join(', ')}]`);
  if (shape[0] !== count) throw new PenjingError('E_DATA', `${path} has ${shape[0]} labels for ${count} items`);
  return [...bytes];
}

function parseIdx(path: string, bytes: Uint8Array): IdxArray {
  if (!isIdx(bytes)) throw new PenjingError('E_DATA', `${path} is no IDX file`);
  const dtype = TYPES[bytes[2]!]!;
  const rank = bytes[3]!;
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw new PenjingError('E_DATA', `${path} ends inside its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const width = dtypes[dtype].bits / 8;
  const wanted = shape.reduce((product, dim) => product * dim, width);
  if (bytes.length - header !== wanted) throw new PenjingError('E_DATA', `${path} should hold ${wanted} bytes of ${dtype} [${shape.join(', ')}], it holds ${bytes.length - header}`);
  const data = bytes.slice(header);
  if (width > 1) for (let at = 0; at < data.length; at += width) data.subarray(at, at + width).reverse();
  return { dtype, shape, bytes: data };
}
