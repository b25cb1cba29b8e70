/** The measure of what rounding a weight to integers loses, for `weightLosses` of core. */
import type { LossMeasure, WeightMatrix } from '@penjing/core/calibrate';
import { qoperatorForm } from '../qoperator.js';
import { refuseMatrix } from '../select.js';
import { candidateBytes, type WeightCandidate, weightCandidates } from './candidates.js';
import { lossJob } from './loss-job.js';

/** HQQ is measured only where the Hessian is not known: with it GPTQ loses less for the same bytes. */
export function roundingLosses(candidates: readonly WeightCandidate[] = weightCandidates): LossMeasure<WeightCandidate> {
  const refused = new Map<WeightMatrix, string | undefined>();
  return {
    candidates,
    job: lossJob,
    bytes(candidate, layer) {
      if (!refused.has(layer)) refused.set(layer, refuseMatrix(layer));
      // what something else reads too stays in the file
      if (layer.otherReaders.length > 0 || refused.get(layer) !== undefined || qoperatorForm.refuse(layer, candidate) !== undefined) return undefined;
      const [rows, cols] = layer.matrix.shape as [number, number];
      return candidateBytes(candidate, rows, cols);
    },
  };
}
