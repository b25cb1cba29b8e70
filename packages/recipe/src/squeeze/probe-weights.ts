/** What the model loses when one weight alone is rounded: end to end, for a few ways to round it. */
import { cloneModel, isPenjingError, type Model, type TaskOptions } from '@penjing/core';
import { type CandidateLoss, quantizeWeights, type WeightLosses } from '@penjing/quantize';
import type { CompareOptions, ModelComparison } from '@penjing/runtime';
import { smallLoss } from './gate.js';
import { lossCurve, type Probe } from './loss-curve.js';

export interface ProbeOptions {
  readonly comparison: ModelComparison;
  /** A few samples: the loss of one weight hardly varies between them. */
  readonly on: CompareOptions;
  readonly task: TaskOptions;
}

/** Bytes of weights that all probes together may load: some hours on two cores. Beyond it only the errors of layers speak. */
const MOST_BYTES = 2 ** 37;
const PROBES = 3;

/**
 * The loss of the model by the error of a weight's layer, for each weight. Models too large to be run once per weight are judged by their
 * layers: what an error does is then taken to be its share of the layer's output, the same everywhere.
 */
export async function probeWeights(model: Model, weights: readonly WeightLosses[], { comparison, on, task }: ProbeOptions): Promise<Map<string, (error: number) => number>> {
  const bytes = weights.reduce((sum, weight) => sum + weight.bytes, 0);
  const affordable = bytes * weights.length * PROBES <= MOST_BYTES;
  const curves = new Map<string, (error: number) => number>();
  for (const [done, weight] of weights.entries()) {
    task.signal?.throwIfAborted();
    task.onProgress?.({ phase: 'probe', done, total: weights.length, unit: 'weights', item: weight.name });
    const probes: Probe[] = [];
    for (const found of affordable ? chosen(weight) : []) {
      const rounded = await roundOne(model, weight.name, found, task);
      if (rounded) probes.push({ error: found.error, loss: smallLoss(await comparison.compare(rounded, on)) });
    }
    curves.set(weight.name, lossCurve(probes, 1 / energy(weight)));
  }
  return curves;
}

/** Ways to round without data whose errors are far apart: one of each number of bits. */
function chosen({ candidates }: WeightLosses): CandidateLoss[] {
  const byBits = new Map<number, CandidateLoss>();
  for (const found of candidates) if (found.candidate.method === 'rtn' && !byBits.has(found.candidate.bits)) byBits.set(found.candidate.bits, found);
  return [...byBits.values()].slice(0, PROBES);
}

/** Undefined when the form has no room for this weight. */
async function roundOne(model: Model, name: string, { candidate }: CandidateLoss, { signal }: TaskOptions): Promise<Model | undefined> {
  const { bits, blockSize, symmetric } = candidate;
  const pass = quantizeWeights({ layers: [{ match: name, bits, blockSize, symmetric }, { match: /^/, method: 'none' }] });
  return pass.run(cloneModel(model), { ...(signal && { signal }) }).then(({ model: rounded }) => rounded).catch((error: unknown) => {
    if (isPenjingError(error) && error.code === 'E_NOTHING_TO_DO') return undefined;
    throw error;
  });
}

/** Energy of the layer's output, from a candidate's error and its ratio to it. */
function energy({ candidates }: WeightLosses): number {
  const found = candidates.find(({ error, snrDb }) => error > 0 && Number.isFinite(snrDb));
  return found ? found.error * 10 ** (found.snrDb / 10) || 1 : 1;
}
