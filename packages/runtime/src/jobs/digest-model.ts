/** The identity of what a model computes: the file it would be written as, the bytes of weights by their hashes. */
import { createHash } from 'node:crypto';
import type { Model, Tensor } from '@penjing/core';
import { type FileLayout, serializeOnnx } from '@penjing/graph-io';

/** Weights stand outside, so that no byte of them is needed. */
function layoutsOf(model: Model): readonly FileLayout[] {
  return serializeOnnx(model, { externalData: 'always' });
}

/** The tensors whose hashes `digestModel` asks for. */
export function tensorsToHash(model: Model): Tensor[] {
  return layoutsOf(model).flatMap(({ pieces }) => pieces.flatMap((piece) => (piece.kind === 'tensor' ? [piece.tensor] : [])));
}

export function digestModel(model: Model, hashOf: (tensor: Tensor) => string): string {
  const hash = createHash('sha256');
  for (const { name, size, pieces } of layoutsOf(model)) {
    hash.update(JSON.stringify([name, size, pieces.length]));
    for (const piece of pieces) {
      if (piece.kind === 'crc32') continue;
      hash.update(JSON.stringify([piece.kind, piece.offset]));
      hash.update(piece.kind === 'bytes' ? piece.bytes : hashOf(piece.tensor));
    }
  }
  return hash.digest('hex');
}
