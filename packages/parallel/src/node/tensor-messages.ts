/** What the caller of a tensor-parallel run and the threads of its shards tell each other. */
import type { DType, PlainError, PreparedModel, Shape } from '@penjing/core';
import type { ShardedPort, TensorStep } from '../tensor/sharded-model.js';

/** Input of the job of one shard. */
export interface ShardTask {
  readonly shard: number;
  readonly shards: number;
  readonly segments: readonly PreparedModel[];
  readonly program: readonly TensorStep[];
  readonly inputs: readonly ShardedPort[];
  readonly outputs: readonly ShardedPort[];
  readonly cells: Int32Array<SharedArrayBuffer>;
  readonly port: MessagePort;
  readonly peers: readonly MessagePort[];
  /** Of the caller: a shard in the same thread must not stop it. */
  readonly thread: number;
}

/** A tensor as plain data; bytes of large ones lie in shared memory, where every shard takes what it needs. */
export type SentTensor =
  | { readonly dtype: DType; readonly shape: Shape; readonly bytes: Uint8Array }
  | { readonly shape: Shape; readonly texts: readonly Uint8Array[] };

export type ToShard =
  /** `fresh`: the run before failed somewhere, or was given up. */
  | { readonly run: number; readonly fresh: boolean; readonly feeds: Readonly<Record<string, SentTensor>>; readonly outputs: readonly string[] }
  | { readonly close: true };

export type FromShard =
  | { readonly ready: true }
  /** Outputs come from the first shard. */
  | { readonly run: number; readonly outputs: Readonly<Record<string, SentTensor>> }
  | { readonly run: number; readonly failure: PlainError };
