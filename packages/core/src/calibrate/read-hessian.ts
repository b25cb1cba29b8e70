/** XᵀX in the thread of a job, whichever statistic it comes from. */
import { PenjingError } from '../errors.js';
import type { JobContext, TensorReference } from '../job.js';

/** What jobs take: the sums of `gram` or those of `hessian`. */
export type HessianSums = Float32Array | TensorReference;

/** (size, size), the job's to overwrite. Throws `E_DATA` for a reference to another size, or to values that are not finite. */
export async function readHessian(sums: HessianSums, size: number, { read, kernels }: Pick<JobContext, 'read' | 'kernels'>): Promise<Float32Array> {
  if (sums instanceof Float32Array) return sums;
  const { shape, dtype } = sums;
  if (dtype !== 'float32' || shape.length !== 2 || shape[0] !== size || shape[1] !== size) throw new PenjingError('E_DATA', `a Hessian of ${dtype} [${shape.join(', ')}] for ${size} inputs`, { hint: 'Delete the calibration cache.' });
  const data = (await read(sums)).data as Float32Array;
  const { nonFinite } = kernels.errorStats(data, data);
  if (nonFinite > 0) throw new PenjingError('E_DATA', `the Hessian holds ${nonFinite} values that are not finite`, { hint: 'An activation overflowed or was not a number: check the model and the calibration data.' });
  return data;
}
