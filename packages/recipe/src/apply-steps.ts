/** Applies the steps of a recipe to a graph: each calibrated with data of its own, on the model that the steps before it left. */
import { type Engine, type JobHost, type Model, type Pass, type PassContext, type PassResult, pipeline, type TaskOptions } from '@penjing/core';
import { type CalibrationData, openCalibrationData } from './calibration-data.js';
import { splitSamples } from './split-samples.js';
import type { Input } from './inputs/input.js';
import { loadRuntime } from './load-runtime.js';
import { type BoundStep, bindStep, type RecipeStep } from './steps/steps.js';

/** A step and its data, which is read once and serves every graph of the model. */
export interface OpenedStep {
  readonly step: BoundStep;
  readonly data: CalibrationData | undefined;
}

/** Throws what the readers of the data throw. */
export async function openSteps(steps: readonly RecipeStep[], input: Input): Promise<OpenedStep[]> {
  const opened: OpenedStep[] = [];
  for (const step of steps.map(bindStep)) opened.push({ step, data: step.calibration && (await openCalibrationData({ input, ...step.calibration })) });
  return opened;
}

export interface ApplyOptions extends TaskOptions {
  readonly threads?: number | undefined;
  /** Runs the jobs of the passes; one that ends with them when absent. */
  readonly jobs?: JobHost | undefined;
  /** Work folder of the run: what calibrated passes make lies in it until the caller has saved the model. */
  readonly work?: string | undefined;
  /** What the result is written as. */
  readonly format: string;
}

/** Calibrated passes run the model, and others compute, in a thread that ends with them. */
export async function applySteps(steps: readonly OpenedStep[], model: Model, { threads, work, format, jobs: given, ...task }: ApplyOptions): Promise<PassResult> {
  const passes = pipeline(steps.flatMap(({ step, data }) => (step.pass ? [data ? withSamples(step.pass({ format }), data, step.calibration?.leaveOut) : step.pass({ format })] : [])));
  const context: PassContext = { ...task, ...(await engineFor(steps)) };
  if (steps.every(({ step, data }) => !data && !step.runsJobs)) return passes.run(model, context);
  if (given) return passes.run(model, { ...context, jobs: given });
  const { ortJobs } = await loadRuntime();
  await using jobs = ortJobs({ ...(threads !== undefined && { threads }), ...(work !== undefined && { work }) });
  return await passes.run(model, { ...context, jobs });
}

/** The pass, with samples for the model as it finds it. Random ones are named in every record: what was chosen by them means little. */
function withSamples(pass: Pass, data: CalibrationData, leaveOut: number | undefined): Pass {
  return {
    name: pass.name,
    async run(model, context) {
      const result = await pass.run(model, { ...context, samples: splitSamples(await data.samples(model), leaveOut).used });
      if (!data.synthetic) return result;
      const note = 'calibrated with random numbers';
      const records = result.records.map((record) => (record.method === 'none' ? record : { ...record, note: record.note === undefined ? note : `${record.note}; ${note}` }));
      return { ...result, records, warnings: [...result.warnings, `${pass.name} was ${note}: use it to try things out only`] };
    },
  };
}

/** Simplifying runs the parts of a graph that depend on constants only; without a runtime they stay. */
async function engineFor(steps: readonly OpenedStep[]): Promise<{ readonly engine?: Engine }> {
  if (!steps.some(({ step }) => step.runsGraph)) return {};
  return loadRuntime().then(({ ortEngine }) => ({ engine: ortEngine() }), () => ({}));
}
