/** The measure of what zeros lose, for `weightLosses` of core. */
import type { LossMeasure } from '@penjing/core/calibrate';
import { type SparseCandidate, pruneLossJob } from './prune-loss-job.js';
import { refusePruning } from './prunable.js';
import { patternShare, sparsityOf } from './sparsity.js';

const shares: readonly SparseCandidate[] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map((sparsity) => ({ method: 'sparsegpt', sparsity }));

/** Bytes are those of the weights that stay: files and memory keep their size on ONNX Runtime, whatever is zero. */
export function pruneLosses(candidates: readonly SparseCandidate[] = shares): LossMeasure<SparseCandidate> {
  return {
    candidates,
    job: pruneLossJob,
    bytes(candidate, layer) {
      if (refusePruning(layer) !== undefined || layer.sites.some(({ kind }) => kind === 'gather')) return undefined;
      const sparsity = sparsityOf(candidate);
      const gone = sparsity.kind === 'share' ? sparsity.share : patternShare(sparsity, layer.matrix.shape[1]!);
      return Math.round(layer.weight.tensor!.byteLength * (1 - gone));
    },
  };
}
