/** Builds models from choices, in memory, and measures them against the one they come from. */
import { cloneModel, isPenjingError, type Model, type TaskOptions } from '@penjing/core';
import type { Comparison, ModelComparison, ModelReference } from '@penjing/runtime';
import { applySteps, openSteps } from '../apply-steps.js';
import type { Input } from '../inputs/input.js';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { type Judgement, judge } from './gate.js';
import type { FrontPoint } from './pareto-front.js';
import { type PlannedLayer, stepFor, upgraded } from './plan.js';
import type { SqueezeData } from './squeeze-data.js';

export interface TrialsOptions {
  readonly input: Input;
  readonly model: Model;
  readonly split: SqueezeData;
  readonly comparison: ModelComparison;
  readonly task: TaskOptions;
  readonly threads: number | undefined;
  readonly calibration: Calibrated;
  /** Folder that outlives the models: what calibrated steps make lies in it. */
  readonly work: string;
}

/** A model that was built and measured on the samples that choose. */
export interface TriedModel {
  readonly name: string;
  readonly bytes: number;
  /** Loss of the model as the sum over its weights; absent for models that are there to compare with. */
  readonly predicted?: number;
  /** In the metric of the gate. */
  readonly loss: number;
  readonly comparison: Comparison;
}

export interface ProvenModel {
  readonly steps: readonly RecipeStep[];
  /** Of every layer; absent when all are treated alike. */
  readonly choices?: readonly number[];
  readonly held: Comparison;
  readonly judgement: Judgement;
  /** Weights that were made better on the way, in order. */
  readonly fallbacks: readonly string[];
}

const MOST_FALLBACKS = 12;

/** A way to treat the whole model alike: there to compare with, and taken where it is better. */
export interface StandardModel {
  readonly steps: readonly RecipeStep[];
  readonly tried: TriedModel;
}

/** What everyone does. Integer convolutions and activations are for models that are no decoders, whose outputs they would ruin. */
function standards(calibration: Calibrated, language: boolean): Readonly<Record<string, RecipeStep>> {
  return {
    'uniform int8': { quantize: { bits: 8, blockSize: 32 } },
    'uniform int4': { quantize: { bits: 4, blockSize: 32 } },
    ...(language
      ? { 'uniform int4, asymmetric': { quantize: { bits: 4, blockSize: 32, symmetric: false } } }
      : { 'half precision': { cast: { dtype: 'float16' } }, 'dynamic int8': { quantizeDynamic: {} }, 'static int8': { quantizeStatic: calibration } }),
  };
}

/** The model has nothing for a step to do, or an operator in a form that it does not know. */
const SKIPPED: ReadonlySet<string> = new Set(['E_NOTHING_TO_DO', 'E_UNSUPPORTED', 'E_OPTION']);

export class Trials {
  readonly tried: TriedModel[] = [];
  readonly #options: TrialsOptions;
  readonly #points = new Map<FrontPoint, TriedModel>();

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  /** Those that can be made of this model. */
  async standard(language: boolean): Promise<StandardModel[]> {
    const made: StandardModel[] = [];
    for (const [name, step] of Object.entries(standards(this.#options.calibration, language))) {
      try {
        made.push({ steps: [step], tried: await this.#try(name, [step]) });
      } catch (error) {
        if (!isPenjingError(error) || !SKIPPED.has(error.code)) throw error;
      }
    }
    return made;
  }

  /** Built once however often it is asked for. */
  async point(layers: readonly PlannedLayer[], point: FrontPoint): Promise<TriedModel> {
    const known = this.#points.get(point);
    if (known) return known;
    const tried = await this.#try('mixed', this.stepsFor(layers, point.choices), point.loss);
    this.#points.set(point, tried);
    return tried;
  }

  stepsFor(layers: readonly PlannedLayer[], choices: readonly number[]): readonly RecipeStep[] {
    const step = stepFor(layers, choices, this.#options.calibration);
    return step ? [{ quantize: step }] : [];
  }

  heldOut(model: ModelReference): Promise<Comparison> {
    return this.#options.comparison.compare(model, this.#options.split.heldOut());
  }

  async heldOutOf(steps: readonly RecipeStep[]): Promise<Comparison> {
    return this.heldOut(await this.#build(steps));
  }

  /** Judges a point by samples that did not choose it; as long as they refuse it, makes the weight that loses most better. */
  async prove(layers: readonly PlannedLayer[], point: FrontPoint, { maxLoss, targetBytes = Infinity }: { readonly maxLoss: number | undefined; readonly targetBytes: number | undefined }): Promise<ProvenModel> {
    const fallbacks: string[] = [];
    let { choices }: { choices: readonly number[] } = point;
    let held = await this.heldOutOf(this.stepsFor(layers, choices));
    for (;;) {
      const judgement = judge(held, maxLoss);
      const next = judgement.passed || fallbacks.length === MOST_FALLBACKS ? undefined : upgraded(layers, choices);
      if (!next) return { steps: this.stepsFor(layers, choices), choices, held, judgement, fallbacks };
      const better = await this.heldOutOf(this.stepsFor(layers, next.choices));
      if (better.b.bytes > targetBytes) return { steps: this.stepsFor(layers, choices), choices, held, judgement, fallbacks };
      fallbacks.push(next.layer);
      [choices, held] = [next.choices, better];
    }
  }

  /** Undefined when the held-out samples refuse it: there is nothing to fall back to but the mixtures. */
  async proveStandard({ steps }: StandardModel, maxLoss: number | undefined): Promise<ProvenModel | undefined> {
    const held = await this.heldOutOf(steps);
    const judgement = judge(held, maxLoss);
    return judgement.passed ? { steps, held, judgement, fallbacks: [] } : undefined;
  }

  async #build(steps: readonly RecipeStep[]): Promise<Model> {
    const { input, model, task, threads, work } = this.#options;
    const { signal, seed } = task;
    return (await applySteps(await openSteps(steps, input), cloneModel(model), { ...(signal && { signal }), ...(seed !== undefined && { seed }), threads, work, format: 'onnx' })).model;
  }

  async #try(name: string, steps: readonly RecipeStep[], predicted?: number): Promise<TriedModel> {
    const { comparison, split } = this.#options;
    const measured = await comparison.compare(await this.#build(steps), split.tuning());
    const tried = { name, bytes: measured.b.bytes, ...(predicted !== undefined && { predicted }), loss: judge(measured, undefined).loss, comparison: measured };
    this.tried.push(tried);
    return tried;
  }
}
