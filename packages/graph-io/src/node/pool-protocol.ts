/** What the calling thread and the threads of the pool say to each other. */
import type { QuantizeStats, RowRange, TensorExpr } from '@penjing/core';

/** Where a worker finds the bytes of a source. */
export type WorkerSource =
  | { readonly kind: 'file'; readonly path: string; readonly size: number; readonly mtimeMs: number }
  | { readonly kind: 'shared'; readonly bytes: SharedArrayBuffer };

/** Tensors that are computed together, sent to a worker once. */
export interface WorkerGroup {
  readonly outputs: readonly {
    readonly expr: TensorExpr;
    readonly path: string;
    /** Of the whole tensor in its file. */
    readonly offset: number;
  }[];
  readonly sources: ReadonlyMap<string, WorkerSource>;
}

/** A stretch of an output file. */
export interface FileStretch {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface Calls {
  /**
   * Computes and writes a range of rows of every output of a group; gives of each the CRC-32 and how many of its bytes wait in
   * the page cache.
   */
  chunk: {
    params: { readonly group: number; readonly rows: readonly RowRange[] };
    result: { readonly crcs: readonly number[]; readonly cached: readonly number[]; readonly stats: QuantizeStats | undefined };
  };
  /** Largest magnitudes in each slice of an axis of rows of the only output of a group, float32; 0 where there are none. */
  magnitudes: { params: { readonly group: number; readonly rows: RowRange; readonly axis: number }; result: Float32Array };
  /** CRC-32 of what is in a file now; -1 where it is shorter. */
  checksum: { params: readonly FileStretch[]; result: readonly number[] };
}

export type CallName = keyof Calls;

export type ToWorker =
  | { readonly open: number; readonly group: WorkerGroup }
  | { readonly close: number }
  | { readonly forget: readonly string[] }
  | { [Name in CallName]: { readonly id: number; readonly call: Name; readonly params: Calls[Name]['params'] } }[CallName];

export interface WireError {
  readonly code: string | undefined;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly stack: string | undefined;
}

export type FromWorker =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WireError };
