/** References to tensors between threads: a lazy tensor with its files, or a spill. */
import { type DenseTensor, type DType, lazy, type Shape, type Tensor, type TensorReference } from '@penjing/core';
import { fileSource, readTensorData, type TensorData, tensorData, writeSpill } from '@penjing/graph-io/node';
import type { Kernels } from '@penjing/kernels';

export type StoredTensor = { readonly kind: 'data'; readonly data: TensorData } | { readonly kind: 'spill'; readonly path: string; readonly dtype: DType; readonly shape: Shape };

export async function referTensor(tensor: Tensor): Promise<TensorReference> {
  return { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape, reference: { kind: 'data', data: await tensorData(tensor) } satisfies StoredTensor };
}

export async function spillTensor(folder: string, { dtype, shape, bytes }: DenseTensor): Promise<StoredTensor> {
  return { kind: 'spill', path: await writeSpill(folder, bytes), dtype, shape };
}

/** The whole tensor, in this thread. */
export async function readReference(stored: StoredTensor, kernels: Kernels): Promise<DenseTensor> {
  return readTensorData(stored.kind === 'data' ? stored.data : await tensorData(await spilledTensor(stored)), kernels);
}

/** What a job spilled, as a tensor of its file. */
export async function spilledTensor({ path, dtype, shape }: Extract<StoredTensor, { kind: 'spill' }>): Promise<Tensor> {
  return lazy.source(await fileSource(path), 0, dtype, shape);
}
