/** Opens a safetensors file: only its header is read, the tensors stay on disk. */
import { type ByteSource, type Checkpoint, lazy, type Tensor } from '@penjing/core';
import { readHeader } from './header.js';

/** The tensors of one file, in order of offset. Throws `E_SAFETENSORS`, `E_TRUNCATED`, `E_DTYPE` or `E_LIMIT`. */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const { entries, metadata } = await readHeader(source);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, offset } of entries) tensors.set(name, lazy.source(source, offset, dtype, shape));
  return { tensors, metadata };
}
