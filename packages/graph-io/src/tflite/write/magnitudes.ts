/** How large a weight is in each of its channels: what scales of int8 are made of. */
import { LazyTensor, lazy, type RowRange, type Shape, type Tensor } from '@penjing/core';

/** Largest magnitude of every slice of an axis. */
export type Magnitudes = (tensor: Tensor, axis: number, signal?: AbortSignal) => Promise<Float32Array>;

/** Rows are read in pieces of about this many bytes. */
const PIECE_BYTES = 1 << 22;

/** On the calling thread, float32 tensors only. */
export const largestMagnitudes: Magnitudes = async (given, axisGiven, signal) => {
  const { tensor, axis } = inFileOrder(given, axisGiven);
  const largest = new Float32Array(tensor.shape[axis]!);
  for (const rows of rowPieces(tensor.shape)) {
    signal?.throwIfAborted();
    foldMagnitudes(largest, await tensor.rows(rows), rows.start, tensor.shape, axis);
  }
  return largest;
};

/** The same magnitudes in the order of the file: reading across it row by row would read it many times. */
export function inFileOrder(tensor: Tensor, axis: number): { readonly tensor: Tensor; readonly axis: number } {
  if (tensor.kind !== 'lazy') return { tensor, axis };
  const { expr, sources } = tensor as LazyTensor;
  const moved = expr.op === 'cast' ? expr.input : expr;
  if (moved.op !== 'transpose') return { tensor, axis };
  return inFileOrder(lazy.cast(new LazyTensor(moved.input, sources), expr.dtype), moved.perm[axis]!);
}

export function rowPieces(shape: Shape): RowRange[] {
  const rows = shape[0]!;
  const step = Math.max(1, Math.floor(PIECE_BYTES / (4 * elementsOf(shape.slice(1)))));
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => ({ start: i * step, end: Math.min(rows, (i + 1) * step) }));
}

/** Takes rows from `start` on, float32, into account. `absMax` is used for long runs of one channel. */
export function foldMagnitudes(largest: Float32Array, bytes: Uint8Array, start: number, shape: Shape, axis: number, absMax?: (run: Float32Array) => number): void {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const data = new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const channels = shape[axis]!;
  const inner = elementsOf(shape.slice(axis + 1));
  const first = start * elementsOf(shape.slice(1));
  const long = absMax && inner >= LONG_RUN ? absMax : undefined;
  // Counted, as a division for each element would take most of the time.
  let channel = Math.floor(first / inner) % channels;
  let left = inner - (first % inner);
  for (let i = 0; i < data.length; ) {
    const runEnd = Math.min(data.length, i + left);
    left -= runEnd - i;
    let top = largest[channel]!;
    if (long) {
      top = Math.max(top, long(data.subarray(i, runEnd)));
      i = runEnd;
    }
    for (; i < runEnd; i++) {
      const magnitude = Math.abs(data[i]!);
      if (magnitude > top) top = magnitude;
    }
    largest[channel] = top;
    if (left > 0) continue;
    left = inner;
    if (++channel === channels) channel = 0;
  }
}

/** Below this a call of a kernel takes longer than its work. */
const LONG_RUN = 256;

function elementsOf(shape: Shape): number {
  return shape.reduce((a, b) => a * b, 1);
}
