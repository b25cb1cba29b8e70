/** References to tensors between threads: a lazy tensor with its files, or a spill. */
import { type DenseTensor, type DType, lazy, type Shape, type Tensor, type TensorReference } from '@penjing/core';
import { fileSource, hashTensorData, readTensorData, type TensorData, tensorData, writeSpill } from '@penjing/graph-io/node';
import type { Kernels } from '@penjing/kernels';

export type StoredTensor =
  | { readonly kind: 'data'; readonly data: TensorData }
  /** A file named by its content. */
  | StoredFile<'spill'>
  /** A file that may hold something else later. */
  | StoredFile<'shelved'>;

interface StoredFile<Kind> {
  readonly kind: Kind;
  readonly path: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export async function referTensor(tensor: Tensor): Promise<TensorReference> {
  return { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape, reference: { kind: 'data', data: await tensorData(tensor) } satisfies StoredTensor };
}

export async function spillTensor(folder: string, { dtype, shape, bytes }: DenseTensor): Promise<StoredTensor> {
  return { kind: 'spill', path: await writeSpill(folder, bytes), dtype, shape };
}

/** The whole tensor, in this thread. */
export async function readReference(stored: StoredTensor, kernels: Kernels): Promise<DenseTensor> {
  return readTensorData(await dataOf(stored), kernels);
}

/** Hash of its type, shape and bytes. */
export async function hashReference(stored: StoredTensor, kernels: Kernels): Promise<string> {
  return hashTensorData(await dataOf(stored), kernels);
}

async function dataOf(stored: StoredTensor): Promise<TensorData> {
  return stored.kind === 'data' ? stored.data : tensorData(await spilledTensor(stored));
}

/** What a job spilled or shelved, as a tensor of its file. */
export async function spilledTensor({ path, dtype, shape }: StoredFile<'spill' | 'shelved'>): Promise<Tensor> {
  return lazy.source(await fileSource(path), 0, dtype, shape);
}
