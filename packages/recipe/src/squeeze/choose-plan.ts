/** Chooses what becomes of every weight, by a knapsack on the predicted losses and by models that are built and measured, and proves it. */
import { PenjingError } from '@penjing/core';
import type { WeightLosses } from '@penjing/core/calibrate';
import type { Comparison } from '@penjing/runtime';
import type { Calibrated } from '../steps/step.js';
import { judge, smallLoss } from './gate.js';
import { type Goal, INT8, standards as standardsFor } from './goal.js';
import type { Candidate } from './kinds.js';
import { type FrontPoint, paretoFront } from './pareto-front.js';
import { type PlannedLayer, planLayers } from './plan.js';
import { prove, proveStandards, type ProvenModel } from './prove.js';
import { betterStandards, fitSize, smallestPassing } from './search.js';
import type { StandardModel, TriedModel, Trials } from './trials.js';

export interface ChooseOptions {
  readonly trials: Trials;
  readonly goal: Goal;
  readonly weights: readonly WeightLosses<Candidate>[];
  /** The loss of the model by the error of a weight's layer. */
  readonly curves: ReadonlyMap<string, (error: number) => number>;
  readonly calibration: Calibrated;
  readonly language: boolean;
  readonly bytesBefore: number;
  readonly targetBytes: number | undefined;
}

export interface ChosenPlan {
  readonly layers: readonly PlannedLayer[];
  /** From the fewest bytes to the least loss, the loss of rounded activations included. */
  readonly front: readonly FrontPoint[];
  /** Bytes of a model beside its weights. */
  readonly fixed: number;
  readonly proven: ProvenModel & { readonly standard: string | undefined; /** What it counts as. */ readonly cost: number };
}

/** Sizes that differ by less are as good as each other: each look at one costs a model. */
const PRECISION = 0.02;

/** Throws `E_OPTION` when the size cannot be reached, `E_NOTHING_TO_DO` when no weight can be made smaller. */
export async function choosePlan({ trials, goal, weights, curves, calibration, language, bytesBefore, targetBytes }: ChooseOptions): Promise<ChosenPlan> {
  const { maxLoss, counts } = goal;
  const layers = planLayers(weights, (weight, found) => curves.get(weight.name)!(found.error));
  const fixed = bytesBefore - weights.reduce((sum, { bytes }) => sum + bytes, 0);
  const standards = await trials.standard(standardsFor(goal, { calibration, language, bytesBefore, weights }));
  const noise = activationNoise(layers, standards);
  const front = paretoFront(layers.map((layer) => layer.options)).map((point) => ({ ...point, loss: treats(layers, point.choices) ? point.loss + noise : point.loss }));
  const costOfChoices = (choices: readonly number[]): number => fixed + layers.reduce((sum, { options }, i) => sum + options[choices[i]!]!.bytes, 0);

  const tryPoint = (point: FrontPoint): Promise<TriedModel> => trials.point(layers, point, { predicted: point.loss, bytes: counts === 'weights' ? point.bytes + fixed : undefined });
  const measure = async (point: FrontPoint): Promise<{ bytes: number; passed: boolean }> => {
    const { bytes, comparison } = await tryPoint(point);
    return { bytes, passed: judge(comparison, maxLoss).passed && isLikely(comparison, maxLoss) };
  };
  // With all weights as they were nothing is won: only models that are smaller are looked at.
  const smaller = front.filter(({ choices }) => treats(layers, choices));
  const point = targetBytes === undefined ? ((await smallestPassing(smaller, expectedLoss(maxLoss!, language), measure, PRECISION)) ?? smaller.at(-1)) : await fitSize(smaller, targetBytes, fixed, measure);
  const better = betterStandards(standards, point && (await tryPoint(point)), { maxLoss, targetBytes });
  const alike = await proveStandards(trials, better, maxLoss);
  if (alike) return { layers, front, fixed, proven: { ...alike, standard: alike.name, cost: costOf(standards, alike.name) } };
  if (point) {
    const cost = (choices: readonly number[], { b }: { readonly b: { readonly bytes: number } }): number => (counts === 'weights' ? costOfChoices(choices) : b.bytes);
    const proven = await prove(trials, layers, point.choices, { maxLoss, targetBytes, costOf: cost });
    return { layers, front, fixed, proven: { ...proven, standard: undefined, cost: cost(proven.choices!, proven.held) } };
  }
  const fitting = standards.filter(({ tried }) => tried.bytes <= (targetBytes ?? Infinity)).sort((a, b) => smallLoss(a.tried.comparison) - smallLoss(b.tried.comparison));
  const [last] = fitting;
  if (!last) throw nothingFits(smaller, fixed, targetBytes);
  const held = await trials.heldOutOf(last.steps);
  return { layers, front, fixed, proven: { steps: last.steps, held, judgement: judge(held, maxLoss), fallbacks: [], standard: last.tried.name, cost: last.tried.bytes } };
}

function nothingFits(smaller: readonly FrontPoint[], fixed: number, targetBytes: number | undefined): PenjingError {
  if (smaller.length === 0) return new PenjingError('E_NOTHING_TO_DO', 'no weight of this model can be made smaller', { hint: 'Weights of MatMul, Gemm and Gather can.' });
  return new PenjingError('E_OPTION', `the model cannot become as small as ${targetBytes} bytes: ${smaller[0]!.bytes + fixed} is about the least`, { hint: 'Give a larger target, or more --methods.' });
}

function treats(layers: readonly PlannedLayer[], choices: readonly number[]): boolean {
  return choices.some((choice, i) => layers[i]!.options[choice]!.candidate !== undefined);
}

/**
 * Kernels of integers round the activations too, whatever the bits of the weights. What that costs is what the model of 8 bits loses beyond
 * the sum over its weights, which were probed with activations in floats.
 */
function activationNoise(layers: readonly PlannedLayer[], standards: readonly StandardModel[]): number {
  const int8 = standards.find(({ tried }) => tried.name === INT8);
  if (!int8) return 0;
  const weights = layers.reduce((sum, { options }) => {
    const same = options.find(({ candidate }) => candidate && candidate.method === 'rtn' && candidate.bits === 8 && candidate.blockSize === 32);
    return sum + (same?.loss ?? 0);
  }, 0);
  const noise = smallLoss(int8.tried.comparison) - weights;
  return noise > 0 && Number.isFinite(noise) ? noise : 0;
}

/**
 * Of a few thousand tokens the perplexity is known to about a hundredth only. Where a text is as likely as the model has it, the KL divergence is
 * by how much its logarithm rises, and varies far less: what chooses looks at both.
 */
function isLikely({ klDivergence }: Comparison, maxLoss: number | undefined): boolean {
  return klDivergence === undefined || maxLoss === undefined || klDivergence <= Math.log1p(maxLoss);
}

/** A loss of the gate as one that adds up. */
function expectedLoss(maxLoss: number, language: boolean): number {
  return language ? Math.log1p(maxLoss) : maxLoss ** 2;
}

function costOf(standards: readonly StandardModel[], name: string): number {
  return standards.find(({ tried }) => tried.name === name)!.tried.bytes;
}
