/** A job of a sharded save: chunks of the planned output, computed and written to their places in its work folder. */
import { EXPR_VERSION, PenjingError, type QuantizeStats, type RowRange, type TensorExpr } from '@penjing/core';
import type { Json } from '@penjing/parallel';
import type { SharedPath } from './shared-roots.js';

export interface SharedSource extends SharedPath {
  readonly size: number;
  readonly mtimeMs: number;
}

/** Tensors that are computed together. */
export interface SharedGroup {
  readonly outputs: readonly { readonly expr: TensorExpr; readonly file: SharedPath; readonly offset: number }[];
  readonly sources: Readonly<Record<string, SharedSource>>;
}

export interface SaveJobSpec {
  /** Workers of another version would compute something else. */
  readonly version: number;
  /** The file that says which save the output belongs to, and what it must say. */
  readonly fence: SharedPath;
  readonly token: string;
  /** Groups that are large lie in a file, under their hash. */
  readonly groups: readonly (SharedGroup | SharedText)[];
  readonly chunks: readonly { readonly group: number; readonly rows: readonly RowRange[] }[];
}

export interface SharedText extends SharedPath {
  readonly sha256: string;
}

export interface ChunkResult {
  readonly crcs: readonly number[];
  /** Of a quantization; JSON has no infinity, so that is a text. */
  readonly stats: readonly (number | string)[] | null;
}

export interface SaveJobResult {
  readonly chunks: readonly ChunkResult[];
}

/** Throws `E_UNSUPPORTED` for a job of another version. */
export function readSaveJob(spec: Json): SaveJobSpec {
  const job = spec as unknown as SaveJobSpec;
  if (job.version !== EXPR_VERSION) throw new PenjingError('E_UNSUPPORTED', `the job is of version ${String(job.version)}, this worker of ${EXPR_VERSION}`, { hint: 'Run the same version of Penjing on all machines.' });
  return job;
}

export function writeStats(stats: QuantizeStats | undefined): ChunkResult['stats'] {
  return stats ? [stats.sumSquares, stats.sumSquaredError, stats.maxError, stats.nonFinite].map((value) => (Number.isFinite(value) ? value : String(value))) : null;
}

export function readStats(stats: ChunkResult['stats']): QuantizeStats | undefined {
  if (!stats) return undefined;
  const [sumSquares = 0, sumSquaredError = 0, maxError = 0, nonFinite = 0] = stats.map(Number);
  return { sumSquares, sumSquaredError, maxError, nonFinite };
}
