/** From measured losses of weights to a recipe: what each weight may become, and the step that makes it so. */
import type { CandidateLoss, WeightCandidate, WeightLosses } from '@penjing/quantize';
import type { QuantizeStep } from '../steps/quantize.js';
import type { Calibrated } from '../steps/step.js';
import type { Choice } from './pareto-front.js';

/** A weight and everything it may become; the last option leaves it as it is. */
export interface PlannedLayer {
  readonly name: string;
  readonly options: readonly LayerOption[];
}

export interface LayerOption extends Choice {
  /** Absent: the weight stays. */
  readonly candidate?: WeightCandidate;
}

/** `lossOf` gives the loss of the model for a way to round a weight. */
export function planLayers(weights: readonly WeightLosses[], lossOf: (weight: WeightLosses, found: CandidateLoss) => number): PlannedLayer[] {
  return weights.map((weight) => ({
    name: weight.name,
    options: [...weight.candidates.map((found) => ({ bytes: found.bytes, loss: lossOf(weight, found), candidate: found.candidate })), { bytes: weight.bytes, loss: 0 }],
  }));
}

/** The step that rounds every weight as chosen; without a rounded weight there is no step. */
export function stepFor(layers: readonly PlannedLayer[], choices: readonly number[], calibration: Calibrated): QuantizeStep | undefined {
  const groups = new Map<string, { candidate: WeightCandidate; names: string[]; bytes: number }>();
  for (const [i, { name, options }] of layers.entries()) {
    const { candidate, bytes } = options[choices[i]!]!;
    if (!candidate) continue;
    const key = JSON.stringify(candidate);
    const group = groups.get(key) ?? { candidate, names: [], bytes: 0 };
    groups.set(key, group);
    group.names.push(name);
    group.bytes += bytes;
  }
  // The variant of a model is named after what most of it became.
  const sorted = [...groups.values()].sort((a, b) => b.bytes - a.bytes);
  const [most] = sorted;
  if (!most) return undefined;
  const calibrated = sorted.some(({ candidate }) => candidate.method === 'gptq');
  const { bits, blockSize, symmetric } = most.candidate;
  return {
    bits, blockSize, symmetric,
    method: calibrated ? 'gptq' : 'rtn',
    ...(calibrated && calibration),
    layers: [...sorted.map(({ candidate, names }) => ({ match: names, ...candidate })), { match: ['/^/'], method: 'none' }],
  };
}

/**
 * The choices with the weight of the largest loss made better: to the smallest option that loses half as much at most, which is the weight
 * as it was in the end. Undefined when every weight is as it was.
 */
export function upgraded(layers: readonly PlannedLayer[], choices: readonly number[]): { readonly choices: number[]; readonly layer: string } | undefined {
  const rounded = layers.flatMap(({ name, options }, index) => (options[choices[index]!]!.candidate ? [{ name, options, index, loss: options[choices[index]!]!.loss }] : []));
  const [worst] = rounded.sort((a, b) => b.loss - a.loss);
  if (!worst) return undefined;
  const better = worst.options.flatMap(({ bytes, loss, candidate }, option) => (candidate === undefined || loss < worst.loss / 2 ? [{ bytes, option }] : []));
  const [next] = better.sort((a, b) => a.bytes - b.bytes);
  return { choices: choices.with(worst.index, next!.option), layer: worst.name };
}
