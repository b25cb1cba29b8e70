/** The jobs of core that workers of a fleet run: what is not in this table runs where the command runs. */
import type { Job } from '@penjing/core';

/** Whatever it takes and gives. */
export type AnyJob = Pick<Job<unknown, unknown>, 'module' | 'name'>;

/**
 * Each may be run twice: the output, and what it puts on shelves, follow from the input, and it deletes nothing. Loaded when a fleet computes only.
 */
export async function jobTable(): Promise<ReadonlyMap<string, AnyJob>> {
  const [{ blockJob }, { awqJob, gptqJob }, { factorsJob, paletteJob, pruneJob, spectrumJob }, { teacherJob }] = await Promise.all([
    import('@penjing/core/calibrate'), import('@penjing/quantize'), import('@penjing/compress'), import('@penjing/distill'),
  ]);
  return new Map([blockJob, awqJob, gptqJob, factorsJob, paletteJob, pruneJob, spectrumJob, teacherJob].map(({ module, name }) => [name, { module, name }]));
}
