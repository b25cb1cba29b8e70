/** Applies the steps of a recipe to a graph: each calibrated with data of its own, on the model that the steps before it left. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Engine, type Feeds, type JobHost, type Model, type Pass, type PassContext, type PassResult, pipeline, type TaskOptions } from '@penjing/core';
import type { GradientExchange } from '@penjing/distill';
import { type CalibrationData, openCalibrationData } from './calibration-data.js';
import type { OpenedCalibration } from '@penjing/runtime';
import { isLeftOut } from './split-samples.js';
import type { Input } from './inputs/input.js';
import { loadRuntime } from './load-runtime.js';
import type { Fleet } from './parallel/fleet-jobs.js';
import type { Training } from './steps/step.js';
import { type BoundStep, bindStep, type RecipeStep } from './steps/steps.js';

/** A step and its data, which is read once and serves every graph of the model. */
export interface OpenedStep {
  readonly step: BoundStep;
  readonly data: CalibrationData | undefined;
  readonly input: Pick<Input, 'path'>;
}

/** Throws what the readers of the data throw. */
export async function openSteps(steps: readonly RecipeStep[], input: Input): Promise<OpenedStep[]> {
  const opened: OpenedStep[] = [];
  for (const step of steps.map(bindStep)) opened.push({ step, input, data: step.calibration && (await openCalibrationData({ input, ...step.calibration })) });
  return opened;
}

export interface ApplyOptions extends TaskOptions {
  readonly threads?: number | undefined;
  /** Runs the jobs of the passes; one that ends with them when absent. */
  readonly jobs?: JobHost | undefined;
  /** Work folder of the run: what calibrated passes make lies in it until the caller has saved the model. */
  readonly work?: string | undefined;
  /**
   * What the run does, and which of its graphs this is: a run of the same in the same work folder goes on behind the last layer that it
   * finished. Without it statistics are kept in files of steps only.
   */
  readonly run?: { readonly key: string; readonly graph: string } | undefined;
  /** Workers that run the jobs of the passes, where they know them. */
  readonly fleet?: Fleet | undefined;
  /** What the result is written as. */
  readonly format: string;
  /** Other processes that train the same. */
  readonly exchange?: GradientExchange | undefined;
  /** Things people may want to know. */
  readonly onNote?: ((text: string) => void) | undefined;
  readonly onTrained?: ((training: Training) => void) | undefined;
}

/** Calibrated passes run the model, and others compute, in a thread that ends with them. */
export async function applySteps(steps: readonly OpenedStep[], model: Model, options: ApplyOptions): Promise<PassResult> {
  const { threads: _threads, work, jobs: given, fleet: _fleet, run, format, exchange, onNote = () => {}, onTrained = () => {}, ...task } = options;
  const passes = pipeline(steps.flatMap(({ step, data, input }, index) => {
    const folder = work === undefined ? undefined : join(work, 'training', `${run?.graph ?? ''}-${index}`);
    const pass = step.pass?.({ format, run: { input, folder, exchange, onNote, onTrained } });
    return pass ? [data ? withSamples(pass, { step, data, input }, index, options) : pass] : [];
  }));
  const context: PassContext = { ...task, ...(await engineFor(steps)) };
  if (steps.every(({ step, data }) => !data && !step.runsJobs)) return passes.run(model, context);
  if (given) return passes.run(model, { ...context, jobs: given });
  await using jobs = await openJobs(options);
  return await passes.run(model, { ...context, jobs });
}

/** In a thread of this machine, and on a fleet what its workers know. */
async function openJobs({ threads = availableParallelism(), work, fleet, signal }: ApplyOptions): Promise<JobHost & AsyncDisposable> {
  const { ortJobs } = await loadRuntime();
  const local = ortJobs({ threads, ...(work !== undefined && { work }) });
  if (!fleet || work === undefined) return local;
  const { fleetJobs } = await import('./parallel/fleet-jobs.js');
  return fleetJobs({ ...fleet, local, work, threads, signal });
}

/** The pass, with samples for the model as it finds it. Random ones are named in every record: what was chosen by them means little. */
function withSamples(pass: Pass, { step, data }: OpenedStep & { readonly data: CalibrationData }, index: number, options: ApplyOptions): Pass {
  return {
    name: pass.name,
    async run(model, context) {
      await using kept = await openStore(step, index, options);
      const samples = samplesOf(data, model, step.calibration?.leaveOut);
      const result = await pass.run(model, { ...context, samples, ...(kept && { calibration: kept.store }) });
      const note = await kept?.store.save({ ...(context.signal && { signal: context.signal }) });
      if (note !== undefined) options.onNote?.(`${pass.name}: ${note}`);
      return data.synthetic ? calibratedAtRandom(pass.name, result) : result;
    },
  };
}

/** One at a time: together they may be larger than memory. */
async function* samplesOf(data: CalibrationData, model: Model, leaveOut: number | undefined): AsyncGenerator<Feeds> {
  let index = 0;
  for await (const { feeds } of data.stream(model)) if (!isLeftOut(index++, leaveOut)) yield feeds;
}

/** Statistics for a run that goes on, in its work folder, and for later runs, in the file of the step. */
async function openStore({ calibration }: BoundStep, index: number, { work, run }: ApplyOptions): Promise<(AsyncDisposable & { readonly store: OpenedCalibration }) | undefined> {
  const file = calibration?.cache;
  const lasting = work !== undefined && run !== undefined;
  if (!lasting && file === undefined) return undefined;
  const { openCalibrationStore } = await loadRuntime();
  const folder = lasting ? join(work, 'calibration') : await mkdtemp(join(tmpdir(), 'penjing-calibration-'));
  const dispose = async (): Promise<void> => (lasting ? undefined : rm(folder, { recursive: true, force: true }));
  try {
    return { store: await openCalibrationStore({ folder, run: run?.key ?? '', scope: `${run?.graph ?? ''} ${index}`, file }), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function calibratedAtRandom(name: string, result: PassResult): PassResult {
  const note = 'calibrated with random numbers';
  const records = result.records.map((record) => (record.method === 'none' ? record : { ...record, note: record.note === undefined ? note : `${record.note}; ${note}` }));
  return { ...result, records, warnings: [...result.warnings, `${name} was ${note}: use it to try things out only`] };
}

/** Simplifying runs the parts of a graph that depend on constants only; without a runtime they stay. */
async function engineFor(steps: readonly OpenedStep[]): Promise<{ readonly engine?: Engine }> {
  if (!steps.some(({ step }) => step.runsGraph)) return {};
  return loadRuntime().then(({ ortEngine }) => ({ engine: ortEngine() }), () => ({}));
}
