/** Opens a GGUF file: only its header is read, the tensors stay on disk. */
import type { ByteSource } from '@penjing/core';
import { type GgufTensorInfo, readGgufHeader } from './header.js';
import type { GgufMetadata } from './metadata.js';

export interface GgufTensor extends GgufTensorInfo {
  readonly source: ByteSource;
}

export interface GgufFile {
  readonly metadata: GgufMetadata;
  /** By name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Throws `E_GGUF`, `E_TRUNCATED`, `E_DTYPE` or `E_LIMIT`, naming the key or tensor that is wrong. */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const { metadata, infos } = await readGgufHeader(source);
  return { metadata, tensors: new Map(infos.map((info) => [info.name, { ...info, source }])) };
}
