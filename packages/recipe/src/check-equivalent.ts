/** Compares a written graph with the one it was made from, on random inputs, before it appears. */
import { join } from 'node:path';
import { type Model, PenjingError } from '@penjing/core';
import { loadRuntime } from './load-runtime.js';

export interface PlannedComparison {
  readonly original: Model;
  /** File name of the result. */
  readonly graph: string;
  /** How many random inputs. */
  readonly samples: number;
}

/** Error over signal of 1e-5 in the mean: rounding of float32 through some hundred operators stays below. */
const LOWEST_SNR_DB = 100;

export interface EquivalenceOptions {
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `E_NOT_EQUIVALENT` naming the output that differs most. */
export async function checkEquivalent({ original, graph, samples }: PlannedComparison, folder: string, { name, signal }: EquivalenceOptions): Promise<void> {
  const { compareModels } = await loadRuntime();
  const { outputs } = await compareModels(original, join(folder, graph), { samples, ...(signal && { signal }) });
  const worst = outputs.reduce<(typeof outputs)[number] | undefined>((a, b) => (a && a.snrDb <= b.snrDb ? a : b), undefined);
  if (!worst || worst.snrDb >= LOWEST_SNR_DB) return;
  throw new PenjingError('E_NOT_EQUIVALENT', `${name} would not compute what the original does: output ${worst.name} differs by up to ${worst.maxError.toPrecision(3)} (${worst.snrDb.toFixed(1)} dB)`, {
    hint: 'Inputs with a meaning (indices, lengths) may need real data: leave out --check and use `penjing compare --data`. Otherwise please report this.',
    details: { output: worst.name, snrDb: worst.snrDb, maxError: worst.maxError },
  });
}
