/** A tensor as plain data that any thread can compute: its expression, where the bytes are, and in which pieces. */
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
export function readTensorData({ dtype, shape, group, pieces }: TensorData, kernels: Kernels): DenseTensor {
  if (!group) return new DenseTensor(dtype, shape, new Uint8Array(0));
  const { expr } = group.outputs[0]!;
  const files = new DescriptorCache();
  const read = readSources(group.sources, files);
  const bytes = new Uint8Array(rowBytes(expr, { start: 0, end: pieces.at(-1)!.end }).length);
  try {
    for (const rows of pieces) {
      const mark = kernels.arena.mark();
      bytes.set(evaluate([{ expr, rows }], read, kernels).bytes[0]!, rowBytes(expr, rows).offset);
      kernels.arena.release(mark);
    }
  } finally {
    files.clear();
  }
  return new DenseTensor(dtype, shape, bytes);
}
