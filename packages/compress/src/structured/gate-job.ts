/** How much a loss would change if units were switched off: Taylor importance, over samples that lie on a shelf. */
import { type DenseTensor, type Job, type JobContext, jobModule, PenjingError, type PreparedModel, type ShelfReference } from '@penjing/core';
import { shelfName } from '@penjing/core/calibrate';

/** One input axis of a weight whose indices can be switched off. */
export interface Gate {
  /** Name of the weight. */
  readonly weight: string;
  readonly axis: number;
}

export interface GateJobInput {
  /** Computes one vector per gate: ∂loss/∂gate of each index of the axis. */
  readonly model: PreparedModel;
  /** Names of those outputs, gate by gate. */
  readonly outputs: readonly string[];
  readonly shelf: ShelfReference;
  readonly samples: number;
  readonly groups: readonly GatedGroup[];
}

export interface GatedGroup {
  /** Places of its gates in `outputs`. */
  readonly gates: readonly number[];
  /** By unit and gate: indices that the unit has there. */
  readonly units: readonly (readonly Uint32Array[])[];
}

/** One score per unit of each group: the mean over the samples of (∂loss/∂gate)². Throws `E_DATA` for what is not finite. */
export const gateJob: Job<GateJobInput, readonly Float64Array[]> = { module: jobModule(import.meta.url, './gate-job'), name: 'gateJob', run: scoreGates };

async function scoreGates({ model, outputs, shelf: reference, samples, groups }: GateJobInput, { load, shelf: open, signal, onProgress }: JobContext): Promise<readonly Float64Array[]> {
  await using executor = await load(model);
  const shelf = open(reference);
  const scores = groups.map(({ units }) => new Float64Array(units.length));
  for (let sample = 0; sample < samples; sample++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'gradients', done: sample, total: samples, unit: 'samples' });
    const feeds: Record<string, DenseTensor> = {};
    for (const { name } of executor.inputs) feeds[name] = await shelf.get(shelfName(sample, name));
    const fetched = await executor.run(feeds, { outputs: [...outputs], ...(signal && { signal }) });
    const vectors = outputs.map((name) => (fetched[name] as DenseTensor).data as Float32Array);
    for (const [g, { gates, units }] of groups.entries()) {
      for (const [u, indices] of units.entries()) {
        let slope = 0;
        for (const [k, gate] of gates.entries()) for (const index of indices[k]!) slope += vectors[gate]![index]!;
        scores[g]![u]! += slope ** 2 / samples;
      }
    }
    if (scores.some((list) => !list.every(Number.isFinite))) throw new PenjingError('E_DATA', `the gradients of sample ${sample} are not finite`, { hint: 'Check the model and the calibration data.' });
  }
  return scores;
}
