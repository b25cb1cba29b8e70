/** Writes the argument structures of assembly/jobs.ts. */
import { JOB, type Instance } from './instance.js';

/** Positions in 32-bit words; the four float64 results of a quantization come first. */
const ARGUMENTS = 8;

/** Bytes that a quantization needs besides the codes of one block: CODES of assembly/quantize-grid.ts. */
export const GRID_BYTES = 9232;

export interface Job {
  readonly rows: number;
  readonly cols: number;
  readonly bits: number;
  readonly blockSize: number;
  readonly symmetric: boolean;
  readonly halfScales: boolean;
  readonly floats: number;
  readonly values: number;
  readonly scales: number;
  readonly zeros: number;
  readonly scratch: number;
  /** Read by quantizations only. */
  readonly gridBits: number;
  readonly fit: number;
}

/** Writes the arguments that both structures share, in their common order, at the position that the direction wants. */
export function writeJob(instance: Instance, job: Job, direction: 'quantize' | 'dequantize'): void {
  const at = direction === 'quantize' ? JOB + ARGUMENTS * 4 : JOB;
  new Int32Array(instance.buffer, at, 13).set([
    job.floats, job.rows, job.cols, job.bits, job.blockSize, job.symmetric ? 1 : 0, job.halfScales ? 1 : 0,
    job.values, job.scales, job.zeros, job.scratch, job.gridBits, job.fit,
  ]);
}
