/** The smallest model that is good enough, or the best of a size: chosen weight by weight, and proved on data that chose nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cloneModel, type Model, PenjingError, type TaskOptions } from '@penjing/core';
import { type LossMeasure, type WeightLosses, weightLosses } from '@penjing/core/calibrate';
import type { Comparison } from '@penjing/runtime';
import type { Input } from '../inputs/input.js';
import { openInput } from '../inputs/open-input.js';
import { loadRuntime } from '../load-runtime.js';
import { checkReport, writeReport } from '../report/write-report.js';
import { type RecipeResult, runRecipe, type RunRecipeOptions } from '../run-recipe.js';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { describeGate, type Judgement, judge, lossPercent } from './gate.js';
import { type Goal, type GoalOptions, goalOf, targetBytesOf } from './goal.js';
import { type Candidate, describeChoice, measuresOf } from './kinds.js';
import { choosePlan } from './choose-plan.js';
import { type Probe, probeMeasure, probeWeights } from './probe-weights.js';
import type { Fallback, ProvenModel } from './prove.js';
import { LEAVE_OUT, openSqueezeData } from './squeeze-data.js';
import { type TriedModel, Trials } from './trials.js';

export interface SqueezeOptions extends TaskOptions, GoalOptions, Omit<Calibrated, 'leaveOut'>, Pick<RunRecipeOptions, 'check' | 'externalData' | 'threads' | 'report' | 'onNote'> {
  readonly input: string;
  /** Absent: the plan is made and nothing is written. */
  readonly output?: string | undefined;
  readonly data: string;
  /** Replaces an existing output, and writes a model that fails. */
  readonly force?: boolean;
}

export interface SqueezeResult {
  readonly input: string;
  readonly output: string | undefined;
  /** The steps that make the model from the input, again and again. */
  readonly steps: readonly RecipeStep[];
  /** What sizes are of: the file, or the model as if its zeros took no space. */
  readonly counts: Goal['counts'];
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly targetBytes: number | undefined;
  readonly maxLoss: number | undefined;
  readonly passed: boolean;
  readonly metric: Judgement['metric'];
  /** On the held-out samples. */
  readonly loss: number;
  readonly heldOut: Comparison;
  /** Random numbers instead of data: nothing that was measured means much. */
  readonly synthetic: boolean;
  readonly weights: readonly WeightLosses<Candidate>[];
  /** The way to treat all weights alike that was better than any mixture; then nothing is said of single weights. */
  readonly standard: string | undefined;
  /** What became of each weight, and what that was predicted to lose. */
  readonly chosen: readonly { readonly name: string; readonly method: string; readonly bytes: number; readonly loss: number }[];
  /** Some of the best predicted trades of size against loss. */
  readonly front: readonly { readonly bytes: number; readonly loss: number }[];
  readonly tried: readonly TriedModel[];
  /** Models that the held-out samples refused, and the weights that were made better then, in order. */
  readonly fallbacks: readonly Fallback[];
  readonly written: RecipeResult | undefined;
  readonly seconds: number;
}

/** Points of the front that are reported. */
const SHOWN_POINTS = 60;

/**
 * Throws `E_OPTION` without a target, for inputs of several graphs and sizes that cannot be reached; `E_NOTHING_TO_DO` when no weight can
 * be made smaller; `E_GATE` when the model loses more than it may and `force` is not given; and what the readers, passes and the writer
 * throw. The output then is not there.
 */
export async function squeezeInput(options: SqueezeOptions): Promise<SqueezeResult> {
  const started = performance.now();
  const { data, samples, columns, scale, mean, std, threads, signal, onProgress, seed, onNote = () => {} } = options;
  const goal = goalOf(options);
  if (options.report !== undefined) await checkReport(options.report);
  const task: TaskOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) };
  const input = await openInput(options.input);
  const model = await onlyGraph(input, signal);
  const reading = Object.fromEntries(Object.entries({ samples, columns, scale, mean, std }).filter(([, value]) => value !== undefined));
  const { ortJobs, openComparison } = await loadRuntime();
  await using work = await temporaryFolder();
  await using jobs = ortJobs({ ...(threads !== undefined && { threads }), work: work.path });
  await using split = await openSqueezeData(model, jobs, { input, data, ...reading });
  const calibration: Calibrated = { data, ...reading, leaveOut: LEAVE_OUT };

  onNote('measuring what each weight would lose');
  await using comparison = await openComparison(model, { ...task, ...(threads !== undefined && { threads }) });
  const found = await weightLosses<Candidate | Probe>(cloneModel(model), { ...task, jobs, samples: split.calibration, measures: [probeMeasure(), ...measuresOf(goal.methods)] as LossMeasure<Candidate | Probe>[] });
  const weights = found.map((weight): WeightLosses<Candidate> => ({ ...weight, candidates: weight.candidates.flatMap((one) => (isProbe(one) ? [] : [one as typeof one & { candidate: Candidate }])) }));
  const compare = (other: Model): Promise<Comparison> => comparison.compare(other, split.probes());
  const probed = found.map((weight) => ({ ...weight, rounded: weight.candidates.filter(isProbe) }));
  const curves = await probeWeights(model, probed, { jobs, samples: split.probed, metric: split.language ? 'divergence' : 'energy', compare, task });

  onNote('trying models');
  const trials = new Trials({ jobs, input, model, split, comparison, task, calibration });
  const { a: { bytes: bytesBefore } } = await comparison.compare(model, split.probes());
  const targetBytes = targetBytesOf(goal, bytesBefore, weights);
  const { front, fixed, layers, proven } = await choosePlan({ trials, goal, weights, curves, calibration, language: split.language, bytesBefore, targetBytes });
  const { steps, choices, held, judgement, cost } = proven;
  const result: Omit<SqueezeResult, 'written' | 'seconds'> = {
    input: options.input, output: options.output, steps, counts: goal.counts, bytesBefore, bytesAfter: cost, targetBytes, maxLoss: goal.maxLoss,
    passed: judgement.passed, metric: judgement.metric, loss: judgement.loss, heldOut: held, synthetic: split.synthetic, weights,
    standard: proven.standard,
    chosen: choices ? layers.map(({ name, options: all }, i) => chosenOf(name, all[choices[i]!]!)) : [],
    front: thin(front).map(({ bytes, loss }) => ({ bytes: bytes + fixed, loss })),
    tried: trials.tried, fallbacks: proven.fallbacks,
  };
  const write = options.output !== undefined && (judgement.passed || options.force === true);
  const written = write ? await runRecipe({ input: options.input, output: options.output, steps }, await writeOptions(options, task, trials, proven)) : undefined;
  const done = { ...result, written, seconds: (performance.now() - started) / 1000 };
  if (options.report !== undefined) {
    const { squeezePage } = await import('../report/squeeze-page.js');
    await writeReport(options.report, squeezePage(done));
  }
  if (!judgement.passed && options.output !== undefined && !options.force) throw failed(options.output, done);
  return done;
}

function isProbe(found: WeightLosses<Candidate | Probe>['candidates'][number]): found is WeightLosses<Probe>['candidates'][number] {
  return 'probe' in found.candidate;
}

/** Deleted with everything in it when the scope ends. */
async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'penjing-squeeze-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }) };
}

/** Throws `E_OPTION` for models of several graphs. */
async function onlyGraph(input: Input, signal: AbortSignal | undefined): Promise<Model> {
  const graphs = await input.graphs({ signal });
  const [model, ...others] = graphs.values();
  if (!model || others.length > 0) throw new PenjingError('E_OPTION', `${input.path} becomes several graphs (${[...graphs.keys()].join(', ')}); one can be squeezed`, { hint: 'Convert it, and squeeze its graphs one by one.' });
  return model;
}

/** The model that was judged is the one that is written; the file itself is judged again before it appears, since it is what people will run. */
async function writeOptions({ check, externalData, threads, force = false, onNote, maxLoss }: SqueezeOptions, task: TaskOptions, trials: Trials, { steps, judgement }: ProvenModel): Promise<RunRecipeOptions> {
  const applied = await trials.built(steps);
  const gate = describeGate(judgement, maxLoss);
  // A model that failed says so wherever it goes.
  if (!judgement.passed) applied.model.metadata.set('penjing.gate', gate);
  return {
    ...task, check, externalData, threads, force, ...(onNote && { onNote }), applied, remember: { gate },
    verify: async ([graph]) => {
      if (graph === undefined || !Number.isFinite(judgement.loss)) return;
      const { loss } = judge(await trials.heldOut(graph), undefined);
      // Anything else is a fault of ours or of the disk.
      if (Math.abs(loss - judgement.loss) <= 1e-3 + 0.05 * Math.abs(judgement.loss)) return;
      throw new PenjingError('E_GATE', `the written model loses ${lossPercent(loss)}, the one that was judged lost ${lossPercent(judgement.loss)}`, { hint: 'Please report this.' });
    },
  };
}

function failed(output: string, { loss, metric, maxLoss }: SqueezeResult): PenjingError {
  return new PenjingError('E_GATE', `${output} is not written: on the held-out samples it would lose ${lossPercent(loss)} of ${metric}${maxLoss === undefined ? '' : `, where ${lossPercent(maxLoss)} may be lost`}`, {
    hint: 'Allow a larger size or loss, or give --force to have it all the same.',
    details: { loss, metric },
  });
}

function chosenOf(name: string, { candidate, bytes, loss }: { readonly candidate?: Candidate; readonly bytes: number; readonly loss: number }): SqueezeResult['chosen'][number] {
  return { name, method: candidate ? describeChoice(candidate) : 'none', bytes, loss };
}

function thin<Point>(front: readonly Point[]): Point[] {
  if (front.length <= SHOWN_POINTS) return [...front];
  return Array.from({ length: SHOWN_POINTS }, (_, i) => front[Math.round((i * (front.length - 1)) / (SHOWN_POINTS - 1))]!);
}
