/** Taking parts of tensors out and putting them together, byte by byte, along one axis. */
import { DenseTensor, dtypes, elementCount, PenjingError, type Shape } from '@penjing/core';
import type { AxisCut, Range } from './sharded-model.js';

/** A run of bytes that lies together in the whole and in the part. */
export interface Piece {
  readonly whole: number;
  readonly part: number;
  readonly length: number;
}

/** Where the bytes of one shard's ranges lie in a whole tensor of `shape`, and in the part, in order of both. */
export function* piecesOf(shape: Shape, axis: number, ranges: readonly Range[], elementBytes: number): Generator<Piece, void, undefined> {
  const inner = elementCount(shape.slice(axis + 1)) * elementBytes;
  const rows = elementCount(shape.slice(0, axis));
  const stride = shape[axis]! * inner;
  let part = 0;
  for (let row = 0; row < rows; row++) {
    for (const [from, to] of ranges) {
      const length = (to - from) * inner;
      if (length > 0) yield { whole: row * stride + from * inner, part, length };
      part += length;
    }
  }
}

/** Elements that a shard has of an axis. */
export const lengthOf = (ranges: readonly Range[]): number => ranges.reduce((sum, [from, to]) => sum + to - from, 0);

/** Elements of the whole axis. */
export const sizeOf = ({ ranges }: AxisCut): number => ranges.reduce((sum, own) => sum + lengthOf(own), 0);

export const withSize = (shape: Shape, axis: number, size: number): number[] => shape.map((dim, i) => (i === axis ? size : dim));

/** Bytes of an element that can be moved by itself. */
export function elementBytesOf(dtype: DenseTensor['dtype']): number {
  const { bits } = dtypes[dtype];
  if (dtype === 'string' || bits % 8 !== 0) throw new PenjingError('E_DTYPE', `tensors of ${dtype} are not shared out`);
  return bits / 8;
}

/** The part of a shard. Throws `E_INPUT` for a tensor that is not the whole. */
export function takePart(tensor: DenseTensor, cut: AxisCut, shard: number, name: string): DenseTensor {
  checkWhole(tensor.shape, cut, name);
  return partOf(tensor, cut, shard);
}

/** The same of one that is known to be the whole. */
export function partOf(tensor: DenseTensor, cut: AxisCut, shard: number): DenseTensor {
  const ranges = cut.ranges[shard]!;
  const shape = withSize(tensor.shape, cut.axis, lengthOf(ranges));
  const elementBytes = elementBytesOf(tensor.dtype);
  const bytes = new Uint8Array(elementCount(shape) * elementBytes);
  for (const { whole, part, length } of piecesOf(tensor.shape, cut.axis, ranges, elementBytes)) bytes.set(tensor.bytes.subarray(whole, whole + length), part);
  return new DenseTensor(tensor.dtype, shape, bytes);
}

export function checkWhole(shape: Shape, cut: AxisCut, name: string): void {
  if (shape[cut.axis] !== sizeOf(cut)) throw new PenjingError('E_INPUT', `${name} has shape [${shape.join(', ')}], and must have ${sizeOf(cut)} elements on axis ${cut.axis}`);
}

/** The whole from the parts of all shards, in order. */
export function joinParts(parts: readonly DenseTensor[], cut: AxisCut): DenseTensor {
  const [first] = parts;
  const shape = withSize(first!.shape, cut.axis, sizeOf(cut));
  const elementBytes = elementBytesOf(first!.dtype);
  const bytes = new Uint8Array(elementCount(shape) * elementBytes);
  parts.forEach((tensor, shard) => {
    for (const { whole, part, length } of piecesOf(shape, cut.axis, cut.ranges[shard]!, elementBytes)) bytes.set(tensor.bytes.subarray(part, part + length), whole);
  });
  return new DenseTensor(first!.dtype, shape, bytes);
}
