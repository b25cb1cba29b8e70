/** A planned file in memory: for tests and small models; the pool of `./node` writes large ones. */
import type { LazyTensor, Tensor } from '@penjing/core';
import type { FileLayout } from '../layout.js';

export async function layoutToBytes(file: FileLayout): Promise<Uint8Array> {
  const bytes = new Uint8Array(file.size);
  for (const piece of file.pieces) bytes.set(piece.kind === 'bytes' ? piece.bytes : await load(piece.tensor), piece.offset);
  return bytes;
}

/** A plain range of a source needs no evaluation. */
function load(tensor: Tensor): Promise<Uint8Array> {
  if (tensor.kind !== 'lazy') return tensor.load();
  const { expr, sources } = tensor as LazyTensor;
  return expr.op === 'source' ? sources.get(expr.source)!.read(expr.offset, tensor.byteLength) : tensor.load();
}
