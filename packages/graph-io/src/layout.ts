/** The plan of a save: every file, its exact size and what stands where, fixed before a byte is computed. */
import type { Tensor } from '@penjing/core';

/** Bytes known already, or a tensor whose loaded bytes go at `offset`. */
export type LayoutPiece =
  | { readonly kind: 'bytes'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'tensor'; readonly offset: number; readonly name: string; readonly tensor: Tensor };

export interface FileLayout {
  /** Name relative to the output folder, with forward slashes. */
  readonly name: string;
  readonly size: number;
  /** In order of offset, not overlapping; gaps are zeros. */
  readonly pieces: readonly LayoutPiece[];
}
