/** Where bytes come from. A source is addressed by ranges and never read whole unless asked. */
import { PenjingError } from './errors.js';

/** Plain data from which another thread can open the same source. */
export type SourceDescriptor =
  | { readonly kind: 'file'; readonly path: string; readonly size: number; readonly mtimeMs: number }
  | { readonly kind: 'http'; readonly url: string; readonly size: number }
  | { readonly kind: 'memory'; readonly size: number };

/** Random-access, immutable bytes. */
export interface ByteSource {
  /** Key of this source in expressions, unique among the sources of a process. */
  readonly uri: string;
  /** Total bytes. */
  readonly size: number;
  readonly descriptor: SourceDescriptor;
  /** Bytes [offset, offset + length); throws `E_TRUNCATED` when the range is not inside the source. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

let memoryCount = 0;

/** A source over bytes already in memory. */
export function memorySource(bytes: Uint8Array, uri = `memory:${memoryCount++}`): ByteSource {
  return {
    uri,
    size: bytes.byteLength,
    descriptor: { kind: 'memory', size: bytes.byteLength },
    async read(offset, length) {
      checkRange(uri, bytes.byteLength, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** Throws `E_TRUNCATED` unless [offset, offset + length) lies inside `size` bytes. */
export function checkRange(uri: string, size: number, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > size) {
    throw new PenjingError('E_TRUNCATED', `bytes ${offset}+${length} lie outside ${uri} (${size} bytes)`, {
      hint: 'The file is truncated or its header is wrong; download or export it again.',
      details: { uri, offset, length, size },
    });
  }
}
