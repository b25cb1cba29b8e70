/** A tensor as plain data that any thread can compute: its expression, where the bytes are, and in which pieces. */
import { createHash } from 'node:crypto';
import { type DType, DenseTensor, evaluate, lazy, PenjingError, type RowRange, rowBytes, type Shape, type Tensor } from '@penjing/core';
import type { Kernels } from '@penjing/kernels';
import { DescriptorCache } from './descriptor-cache.js';
import type { WorkerGroup } from './pool-protocol.js';
import { readSources } from './read-sources.js';
import { planSave } from './save-plan.js';
import { workerGroup } from './shared-sources.js';

export interface TensorData {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Absent for a tensor without bytes. */
  readonly group?: WorkerGroup;
  /** Ranges of rows to compute one after the other, so that little exists beside the result. */
  readonly pieces: readonly RowRange[];
}

/** What is in files stays there; what is in memory, or far away, is copied to memory that threads share. */
export async function tensorData(tensor: Tensor): Promise<TensorData> {
  if (tensor.kind !== 'dense' && tensor.kind !== 'lazy') throw new PenjingError('E_DTYPE', `threads read no ${tensor.kind} tensors`);
  const { dtype, shape, byteLength } = tensor;
  const [group] = planSave([{ name: '', size: byteLength, pieces: [{ kind: 'tensor', name: '', offset: 0, tensor: lazy.reshape(tensor, shape) }] }]);
  if (!group) return { dtype, shape, pieces: [] };
  return { dtype, shape, group: await workerGroup(group, ['']), pieces: Array.from({ length: group.chunks }, (_, i) => group.rows(i)[0]!) };
}

/** Computes it in this thread. Throws `E_SOURCE_CHANGED` when a file is no longer what it was. */
export function readTensorData(data: TensorData, kernels: Kernels): DenseTensor {
  const { dtype, shape, group, pieces } = data;
  if (!group) return new DenseTensor(dtype, shape, new Uint8Array(0));
  const { expr } = group.outputs[0]!;
  const bytes = new Uint8Array(rowBytes(expr, { start: 0, end: pieces.at(-1)!.end }).length);
  forEachPiece(data, kernels, (piece, rows) => bytes.set(piece, rowBytes(expr, rows).offset));
  return new DenseTensor(dtype, shape, bytes);
}

/** SHA-256 of its type, shape and bytes, computed piece by piece. Throws `E_SOURCE_CHANGED`. */
export function hashTensorData(data: TensorData, kernels: Kernels): string {
  const hash = createHash('sha256').update(JSON.stringify([data.dtype, data.shape]));
  forEachPiece(data, kernels, (piece) => hash.update(piece));
  return hash.digest('hex');
}

/** `use` must not keep the bytes. */
function forEachPiece({ group, pieces }: TensorData, kernels: Kernels, use: (bytes: Uint8Array, rows: RowRange) => void): void {
  if (!group) return;
  const { expr } = group.outputs[0]!;
  const files = new DescriptorCache();
  const read = readSources(group.sources, files);
  try {
    for (const rows of pieces) {
      const mark = kernels.arena.mark();
      use(evaluate([{ expr, rows }], read, kernels).bytes[0]!, rows);
      kernels.arena.release(mark);
    }
  } finally {
    files.clear();
  }
}
