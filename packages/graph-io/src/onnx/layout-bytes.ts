/** A planned file in memory: for tests and small models; the pool of `./node` writes large ones. */
import type { LazyTensor, Tensor } from '@penjing/core';
import { crc32 } from '../crc32.js';
import type { FileLayout } from '../layout.js';

export async function layoutToBytes(file: FileLayout): Promise<Uint8Array> {
  const bytes = new Uint8Array(file.size);
  for (const piece of file.pieces) {
    if (piece.kind === 'bytes') bytes.set(piece.bytes, piece.offset);
    else if (piece.kind === 'tensor') bytes.set(await load(piece.tensor), piece.offset);
  }
  const view = new DataView(bytes.buffer);
  for (const piece of file.pieces) if (piece.kind === 'crc32') view.setUint32(piece.offset, crc32(bytes.subarray(piece.start, piece.end)), true);
  return bytes;
}

/** A plain range of a source needs no evaluation. */
function load(tensor: Tensor): Promise<Uint8Array> {
  if (tensor.kind !== 'lazy') return tensor.load();
  const { expr, sources } = tensor as LazyTensor;
  return expr.op === 'source' ? sources.get(expr.source)!.read(expr.offset, tensor.byteLength) : tensor.load();
}
