/** Judges a plan by samples that did not choose it, and falls back weight by weight as long as they refuse it. */
import type { Comparison } from '@penjing/runtime';
import type { RecipeStep } from '../steps/steps.js';
import { type Judgement, judge, neededShare } from './gate.js';
import { fallBack, type PlannedLayer } from './plan.js';
import type { StandardModel, Trials } from './trials.js';

export interface ProvenModel {
  readonly steps: readonly RecipeStep[];
  /** Of every layer; absent when all are treated alike. */
  readonly choices?: readonly number[];
  readonly held: Comparison;
  readonly judgement: Judgement;
  readonly fallbacks: readonly Fallback[];
}

/** A model that the held-out samples refused, and what was made better then. */
export interface Fallback {
  readonly bytes: number;
  /** On the held-out samples, in the metric of the gate. */
  readonly loss: number;
  /** Weights, in order; a weight may come more than once. */
  readonly weights: readonly string[];
}

export interface Limits {
  readonly maxLoss: number | undefined;
  readonly targetBytes: number | undefined;
  /** What a model counts as, held against the target. */
  readonly costOf: (choices: readonly number[], held: Comparison) => number;
}

const MOST_ROUNDS = 12;

/** The last model that fits the size is given, whether or not it passes. A model none of whose weights was treated is no result. */
export async function prove(trials: Trials, layers: readonly PlannedLayer[], chosen: readonly number[], { maxLoss, targetBytes = Infinity, costOf }: Limits): Promise<ProvenModel> {
  const fallbacks: Fallback[] = [];
  let choices = chosen;
  let held = await trials.heldOutOf(trials.stepsFor(layers, choices));
  for (;;) {
    const judgement = judge(held, maxLoss);
    const proven = { steps: trials.stepsFor(layers, choices), choices, held, judgement, fallbacks };
    if (judgement.passed || maxLoss === undefined || fallbacks.length === MOST_ROUNDS) return proven;
    const next = fallBack(layers, choices, neededShare(judgement, maxLoss));
    if (!next) return proven;
    const better = await trials.heldOutOf(trials.stepsFor(layers, next.choices));
    if (costOf(next.choices, better) > targetBytes) return proven;
    fallbacks.push({ bytes: costOf(choices, held), loss: judgement.loss, weights: next.layers });
    [choices, held] = [next.choices, better];
  }
}

/** The first that the held-out samples let pass. */
export async function proveStandards(trials: Trials, standards: readonly StandardModel[], maxLoss: number | undefined): Promise<(ProvenModel & { readonly name: string }) | undefined> {
  for (const { steps, tried: { name } } of standards) {
    const held = await trials.heldOutOf(steps);
    const judgement = judge(held, maxLoss);
    if (judgement.passed) return { name, steps, held, judgement, fallbacks: [] };
  }
  return undefined;
}
