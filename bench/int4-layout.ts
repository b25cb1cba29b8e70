/** The plan that the benches save: every matrix of a checkpoint as MatMulNBits tensors, the rest as it is. */
import { join } from 'node:path';
import { readdir } from 'node:fs/promises';
import { type Checkpoint, lazy, type Tensor } from '@penjing/core';
import { type FileLayout, type LayoutPiece, openSafetensors, openSafetensorsIndex } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';

export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const index = 'model.safetensors.index.json';
  return (await readdir(folder)).includes(index)
    ? openSafetensorsIndex(await fileSource(join(folder, index)), (name) => fileSource(join(folder, name)))
    : openSafetensors(await fileSource(join(folder, 'model.safetensors')));
}

/** 4 bits, symmetric, blocks of 32, float32 scales, as an external data file on pages. */
export function int4Layout(checkpoint: Checkpoint): { layout: FileLayout; weights: number } {
  const pieces: LayoutPiece[] = [];
  let size = 0;
  let weights = 0;
  const place = (name: string, tensor: Tensor): void => {
    const offset = Math.ceil(size / 4096) * 4096;
    pieces.push({ kind: 'tensor', offset, name, tensor });
    size = offset + tensor.byteLength;
  };
  for (const [name, tensor] of checkpoint.tensors) {
    if (tensor.shape.length !== 2) {
      place(name, lazy.cast(tensor, 'float32'));
      continue;
    }
    const { values, scales } = lazy.quantize(lazy.cast(tensor, 'float32'), { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    place(`${name}.q4`, values);
    place(`${name}.q4_scales`, scales);
    weights += tensor.shape[0]! * tensor.shape[1]!;
  }
  return { layout: { name: 'model.onnx_data', size, pieces }, weights };
}
