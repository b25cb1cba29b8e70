/** Opens a GGUF file: only its header is read, the tensors stay on disk. */
import { type ByteSource, type Checkpoint, lazy, type Tensor } from '@penjing/core';
import { type GgufTensorInfo, readGgufHeader } from './header.js';
import type { GgufMetadata } from './metadata.js';

export interface GgufTensor extends GgufTensorInfo {
  readonly source: ByteSource;
}

export interface GgufFile {
  readonly metadata: GgufMetadata;
  /** What the file says of every tensor, by name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** The same tensors as numbers: plain types as they are, blocks decoded to float32 (`lazy.repack` finds the blocks again). */
  readonly checkpoint: Checkpoint;
}

/** Throws `E_GGUF`, `E_TRUNCATED`, `E_DTYPE` or `E_LIMIT`, naming the key or tensor that is wrong. */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const { metadata, infos } = await readGgufHeader(source);
  return ggufFile(metadata, new Map(infos.map((info) => [info.name, { ...info, source }])));
}

/** Texts of the metadata are those of the checkpoint. */
export function ggufFile(metadata: GgufMetadata, tensors: ReadonlyMap<string, GgufTensor>): GgufFile {
  const texts = [...metadata].filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  const decoded = [...tensors].map(([name, tensor]) => [name, decode(tensor)] as const);
  return { metadata, tensors, checkpoint: { tensors: new Map(decoded), metadata: new Map(texts) } };
}

function decode({ source, type, shape, offset }: GgufTensor): Tensor {
  const { dtype, codec, blockSize, blockBytes } = type;
  if (codec === undefined) return lazy.source(source, offset, dtype!, shape);
  const bytes = [...shape.slice(0, -1), (shape.at(-1)! / blockSize) * blockBytes];
  return lazy.decode(lazy.source(source, offset, 'uint8', bytes), codec);
}
