/** What the model loses when one weight alone is rounded: end to end, for a few ways to round it, and a curve through them. */
import { cloneModel, type Feeds, isPenjingError, type JobHost, type Model, type TaskOptions } from '@penjing/core';
import type { CandidateLoss, LossMeasure, WeightLosses } from '@penjing/core/calibrate';
import { type ProbeMetric, probeLosses, quantizeWeights, roundingLosses, type WeightCandidate } from '@penjing/quantize';
import type { Comparison } from '@penjing/runtime';
import { smallLoss } from './gate.js';
import { lossCurve } from './loss-curve.js';

export interface ProbeOptions {
  readonly jobs: JobHost;
  /** A few samples: the loss of one weight hardly varies between them. */
  readonly samples: AsyncIterable<Feeds>;
  readonly metric: ProbeMetric;
  /** Measures a whole model, for the weights that cannot be inputs of a session. */
  readonly compare: (model: Model) => Promise<Comparison>;
  readonly task: TaskOptions;
}

/** A rounding that is measured to learn what errors do, whether or not the weight may become it. */
export interface Probe extends WeightCandidate {
  readonly probe: true;
}

/** A weight, with its errors when it is rounded without data. */
export interface ProbedWeight extends Pick<WeightLosses<unknown>, 'name' | 'bytes'> {
  readonly rounded: readonly CandidateLoss<Probe>[];
}

/** Bytes of weights that all probes together may multiply by: an hour on two cores. Beyond it only the errors of layers speak. */
const MOST_BYTES = 2 ** 41;

/** Roundings whose errors are far apart: what they lose is enough to draw a curve. */
const probes = ([8, 4, 2] as const).map((bits): Probe => ({ method: 'rtn', bits, blockSize: 32, symmetric: bits !== 2, probe: true }));

/** Every weight is probed: also one that no kernel could take so. */
export function probeMeasure(): LossMeasure<Probe> {
  return { candidates: probes, job: roundingLosses().job, bytes: () => 0 };
}

/**
 * The loss of the model by the error of a weight's layer, for each weight: the one currency in which all ways to treat it are compared.
 * Models too large to be run once per weight are judged by their layers: what an error does is then taken to be its share of the layer's
 * output, the same everywhere.
 */
export async function probeWeights(model: Model, weights: readonly ProbedWeight[], { jobs, samples, metric, compare, task }: ProbeOptions): Promise<Map<string, (error: number) => number>> {
  const bytes = weights.reduce((sum, weight) => sum + weight.bytes, 0);
  const affordable = bytes * weights.reduce((sum, { rounded }) => sum + rounded.length, 0) <= MOST_BYTES;
  const wanted = new Map(weights.map(({ name, rounded }) => [name, rounded.map(({ candidate }) => candidate)]));
  const losses = affordable ? await probeLosses(model, { ...task, jobs, samples, metric, probes: wanted }) : new Map<string, readonly number[]>();
  const curves = new Map<string, (error: number) => number>();
  for (const { name, rounded } of weights) {
    const own = losses.get(name) ?? (affordable ? await byModels(model, name, rounded, { compare, task }) : []);
    curves.set(name, lossCurve(rounded.map(({ error }, i) => ({ error, loss: own[i] ?? Number.NaN })), 1 / energyOf(rounded)));
  }
  return curves;
}

/** A model is built and loaded for each rounding; NaN where its form has no room for the weight. */
async function byModels(model: Model, name: string, rounded: ProbedWeight['rounded'], { compare, task: { signal } }: Pick<ProbeOptions, 'compare' | 'task'>): Promise<number[]> {
  const losses: number[] = [];
  for (const { candidate: { bits, blockSize, symmetric } } of rounded) {
    signal?.throwIfAborted();
    const pass = quantizeWeights({ layers: [{ match: name, bits, blockSize, symmetric }, { match: /^/, method: 'none' }] });
    const made = await pass.run(cloneModel(model), { ...(signal && { signal }) }).catch((error: unknown) => {
      if (isPenjingError(error) && error.code === 'E_NOTHING_TO_DO') return undefined;
      throw error;
    });
    losses.push(made ? smallLoss(await compare(made.model)) : Number.NaN);
  }
  return losses;
}

/** Energy of the layer's output, from an error and its ratio to it. */
function energyOf(rounded: ProbedWeight['rounded']): number {
  const found = rounded.find(({ error, snrDb }) => error > 0 && Number.isFinite(snrDb));
  return found ? found.error * 10 ** (found.snrDb / 10) || 1 : 1;
}
