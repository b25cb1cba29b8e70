/** The measure of what palettes lose, for `weightLosses` of core. */
import type { LossMeasure } from '@penjing/core/calibrate';
import { type PaletteCandidate, paletteLossJob } from './palette-loss-job.js';

const widths: readonly PaletteCandidate[] = [2, 3, 4, 5, 6].map((bits) => ({ method: 'palette', bits }));

export function paletteLosses(candidates: readonly PaletteCandidate[] = widths): LossMeasure<PaletteCandidate> {
  return {
    candidates,
    job: paletteLossJob,
    bytes({ bits }, { weight, owner, opsets, matrix: { shape }, otherReaders }) {
      const elements = shape[0]! * shape[1]!;
      // as `clusterWeights` refuses: places that fill no whole bytes, graphs without BitShift, weights that something else reads
      if (elements === 0 || elements % 8 !== 0 || (opsets.get('') ?? 1) < 11 || owner.outputs.includes(weight) || otherReaders.length > 0) return undefined;
      return Math.ceil((elements * bits) / 8) + (2 ** bits * weight.tensor!.byteLength) / elements;
    },
  };
}
