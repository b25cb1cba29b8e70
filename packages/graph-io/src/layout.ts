/** The plan of a save: every file, its exact size and what stands where, fixed before a byte is computed. */
import type { Tensor } from '@penjing/core';

/**
 * Bytes known already; a tensor whose loaded bytes go at `offset`; or 4 little-endian bytes with the CRC-32 of the bytes
 * [start, end) of the same file, which hold no such checksum themselves, once they are written.
 */
export type LayoutPiece =
  | { readonly kind: 'bytes'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'tensor'; readonly offset: number; readonly name: string; readonly tensor: Tensor }
  | { readonly kind: 'crc32'; readonly offset: number; readonly start: number; readonly end: number };

export interface FileLayout {
  /** Name relative to the output folder, with forward slashes. */
  readonly name: string;
  readonly size: number;
  /** In order of offset, not overlapping, but for checksums, which stand in bytes that leave room for them; gaps are zeros. */
  readonly pieces: readonly LayoutPiece[];
}
