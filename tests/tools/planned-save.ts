/** The save that resume.test.ts interrupts: every matrix in 4 bits twice over, stored straight and turned, in two files. */
import { type Checkpoint, lazy, type Tensor } from '@penjing/core';
import type { FileLayout, LayoutPiece } from '@penjing/graph-io';

export function plannedSave(checkpoint: Checkpoint): FileLayout[] {
  const straight: [string, Tensor][] = [];
  const turned: [string, Tensor][] = [];
  for (const [name, tensor] of checkpoint.tensors) {
    const nbits = lazy.quantize(tensor, { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    straight.push([`${name}.values`, nbits.values], [`${name}.scales`, nbits.scales]);
    const linear = lazy.quantize(lazy.cast(tensor, 'float32'), { bits: 4, blockSize: 32, symmetric: false, layout: 'linear' });
    for (const part of ['values', 'scales', 'zeroPoints'] as const) turned.push([`${name}.${part}`, lazy.transpose(linear[part]!, [1, 0])]);
  }
  return [layoutOf('straight.bin', straight), layoutOf('sub/turned.bin', turned)];
}

function layoutOf(name: string, tensors: readonly (readonly [string, Tensor])[]): FileLayout {
  const header = new TextEncoder().encode(`${name}\n`);
  const pieces: LayoutPiece[] = [{ kind: 'bytes', offset: 0, bytes: header }];
  let size = header.byteLength;
  for (const [tensorName, tensor] of tensors) {
    const offset = Math.ceil(size / 4096) * 4096;
    pieces.push({ kind: 'tensor', offset, name: tensorName, tensor });
    size = offset + tensor.byteLength;
  }
  return { name, size, pieces };
}
