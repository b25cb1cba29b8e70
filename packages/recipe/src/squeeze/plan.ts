/** From measured losses of weights to a recipe: what each weight may become, and the steps that make it so. */
import type { CandidateLoss, WeightLosses } from '@penjing/core/calibrate';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { type Candidate, kindOf, kinds, type KindName, stepOf, type Treated } from './kinds.js';
import type { Choice } from './pareto-front.js';

/** A weight and everything it may become; the last option leaves it as it is. */
export interface PlannedLayer {
  readonly name: string;
  readonly options: readonly LayerOption[];
}

export interface LayerOption extends Choice {
  /** Absent: the weight stays. */
  readonly candidate?: Candidate;
}

/** `lossOf` gives the loss of the model for a way to change a weight. */
export function planLayers(weights: readonly WeightLosses<Candidate>[], lossOf: (weight: WeightLosses<Candidate>, found: CandidateLoss<Candidate>) => number): PlannedLayer[] {
  return weights.map((weight) => ({
    name: weight.name,
    options: [...weight.candidates.map((found) => ({ bytes: found.bytes, loss: lossOf(weight, found), candidate: found.candidate })), { bytes: weight.bytes, loss: 0 }],
  }));
}

/** The steps that treat every weight as chosen: one for each kind, none when all weights stay. */
export function stepsFor(layers: readonly PlannedLayer[], choices: readonly number[], calibration: Calibrated): RecipeStep[] {
  const groups = new Map<string, { candidate: Candidate; names: string[]; bytes: number }>();
  for (const [i, { name, options }] of layers.entries()) {
    const { candidate, bytes } = options[choices[i]!]!;
    if (!candidate) continue;
    const key = JSON.stringify(candidate);
    const group = groups.get(key) ?? { candidate, names: [], bytes: 0 };
    groups.set(key, group);
    group.names.push(name);
    group.bytes += bytes;
  }
  const sorted: Treated<Candidate>[] = [...groups.values()].sort((a, b) => b.bytes - a.bytes);
  return (Object.keys(kinds) as KindName[]).flatMap((kind) => {
    const own = sorted.filter(({ candidate }) => kindOf(candidate) === kind);
    return own.length > 0 ? [stepOf(kind, own, calibration)] : [];
  });
}

/**
 * The choices with the weight of the largest loss made better: to the smallest option that loses half as much at most, which is the weight
 * as it was in the end. Undefined when every weight is as it was.
 */
export function upgraded(layers: readonly PlannedLayer[], choices: readonly number[]): { readonly choices: number[]; readonly layer: string } | undefined {
  const treated = layers.flatMap(({ name, options }, index) => (options[choices[index]!]!.candidate ? [{ name, options, index, loss: options[choices[index]!]!.loss }] : []));
  const [worst] = treated.sort((a, b) => b.loss - a.loss);
  if (!worst) return undefined;
  const better = worst.options.flatMap(({ bytes, loss, candidate }, option) => (candidate === undefined || loss < worst.loss / 2 ? [{ bytes, option }] : []));
  const [next] = better.sort((a, b) => a.bytes - b.bytes);
  return { choices: choices.with(worst.index, next!.option), layer: worst.name };
}

/**
 * Makes one weight after the other better until the predicted loss is at most `share` of what it was: at least one, and as long as
 * some weight is still treated. Undefined when making one better would leave all weights as they were.
 */
export function fallBack(layers: readonly PlannedLayer[], choices: readonly number[], share: number): { readonly choices: readonly number[]; readonly layers: readonly string[] } | undefined {
  const limit = predictedLoss(layers, choices) * share;
  const names: string[] = [];
  let current = choices;
  do {
    const next = upgraded(layers, current);
    if (!next || next.choices.every((choice, i) => layers[i]!.options[choice]!.candidate === undefined)) break;
    names.push(next.layer);
    current = next.choices;
  } while (predictedLoss(layers, current) > limit);
  return names.length === 0 ? undefined : { choices: current, layers: names };
}

export function predictedLoss(layers: readonly PlannedLayer[], choices: readonly number[]): number {
  return layers.reduce((sum, { options }, i) => sum + options[choices[i]!]!.loss, 0);
}
