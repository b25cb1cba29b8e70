/** Builds models from steps, in memory, and measures them against the one they come from. */
import { cloneModel, isPenjingError, type JobHost, type Model, type PassResult, type TaskOptions } from '@penjing/core';
import type { Comparison, ModelComparison, ModelReference } from '@penjing/runtime';
import { applySteps, openSteps } from '../apply-steps.js';
import type { Input } from '../inputs/input.js';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { judge } from './gate.js';
import type { FrontPoint } from './pareto-front.js';
import { type PlannedLayer, stepsFor } from './plan.js';
import type { SqueezeData } from './squeeze-data.js';

export interface TrialsOptions {
  readonly input: Input;
  readonly model: Model;
  readonly split: SqueezeData;
  readonly comparison: ModelComparison;
  readonly task: TaskOptions;
  readonly calibration: Calibrated;
  /** Outlives the models: what calibrated steps make lies in its work folder. */
  readonly jobs: JobHost;
}

/** A model that was built and measured on the samples that choose. */
export interface TriedModel {
  readonly name: string;
  /** Of the file; when zeros are what counts, as if they took no space. */
  readonly bytes: number;
  /** Loss of the model as the sum over its weights; absent for models that are there to compare with. */
  readonly predicted?: number;
  /** In the metric of the gate. */
  readonly loss: number;
  readonly comparison: Comparison;
}

/** A way to treat the whole model alike: there to compare with, and taken where it is better. */
export interface StandardModel {
  readonly steps: readonly RecipeStep[];
  readonly tried: TriedModel;
}

/** The model has nothing for a step to do, or an operator in a form that it does not know. */
const SKIPPED: ReadonlySet<string> = new Set(['E_NOTHING_TO_DO', 'E_UNSUPPORTED', 'E_OPTION']);

export class Trials {
  readonly tried: TriedModel[] = [];
  readonly #options: TrialsOptions;
  readonly #points = new Map<FrontPoint, TriedModel>();
  /** By their steps: what was computed for them lies in the work folder. */
  readonly #built = new Map<string, PassResult>();

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  /** Those that can be made of this model. `bytes`: what they count as, when it is not the size of the file. */
  async standard(named: Readonly<Record<string, { readonly steps: readonly RecipeStep[]; readonly bytes?: number }>>): Promise<StandardModel[]> {
    const made: StandardModel[] = [];
    for (const [name, { steps, bytes }] of Object.entries(named)) {
      try {
        made.push({ steps, tried: await this.#try(name, steps, { bytes }) });
      } catch (error) {
        if (!isPenjingError(error) || !SKIPPED.has(error.code)) throw error;
      }
    }
    return made;
  }

  /** Built once however often it is asked for. */
  async point(layers: readonly PlannedLayer[], point: FrontPoint, as: { readonly bytes?: number | undefined; readonly predicted: number }): Promise<TriedModel> {
    const known = this.#points.get(point);
    if (known) return known;
    const tried = await this.#try('mixed', this.stepsFor(layers, point.choices), as);
    this.#points.set(point, tried);
    return tried;
  }

  stepsFor(layers: readonly PlannedLayer[], choices: readonly number[]): readonly RecipeStep[] {
    return stepsFor(layers, choices, this.#options.calibration);
  }

  /** On the samples that choose nothing. */
  heldOut(model: ModelReference): Promise<Comparison> {
    return this.#options.comparison.compare(model, this.#options.split.heldOut());
  }

  async heldOutOf(steps: readonly RecipeStep[]): Promise<Comparison> {
    return this.heldOut((await this.built(steps)).model);
  }

  /** What the steps make of the model. */
  async built(steps: readonly RecipeStep[]): Promise<PassResult> {
    const key = JSON.stringify(steps);
    const known = this.#built.get(key);
    if (known) return known;
    const { input, model, task, jobs } = this.#options;
    const { signal, seed } = task;
    const made = await applySteps(await openSteps(steps, input), cloneModel(model), { ...(signal && { signal }), ...(seed !== undefined && { seed }), jobs, format: 'onnx' });
    this.#built.set(key, made);
    return made;
  }

  async #try(name: string, steps: readonly RecipeStep[], { predicted, bytes }: { readonly predicted?: number; readonly bytes?: number | undefined }): Promise<TriedModel> {
    const { comparison, split, task } = this.#options;
    task.onProgress?.({ phase: 'try', done: this.tried.length, total: this.tried.length + 1, unit: 'models', item: name });
    const measured = await comparison.compare((await this.built(steps)).model, split.tuning());
    const tried = { name, bytes: bytes ?? measured.b.bytes, ...(predicted !== undefined && { predicted }), loss: judge(measured, undefined).loss, comparison: measured };
    this.tried.push(tried);
    return tried;
  }
}
