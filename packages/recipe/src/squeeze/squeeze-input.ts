/** The smallest model that is good enough, or the best of a size: bits, blocks and methods chosen weight by weight, and proved on data that chose nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cloneModel, type Model, PenjingError, type TaskOptions } from '@penjing/core';
import { describeCandidate, type WeightLosses, weightLosses } from '@penjing/quantize';
import type { Comparison } from '@penjing/runtime';
import { writeReport } from '../compare-inputs.js';
import type { Input } from '../inputs/input.js';
import { openInput } from '../inputs/open-input.js';
import { loadRuntime } from '../load-runtime.js';
import { squeezePage } from '../report/squeeze-page.js';
import { type RecipeResult, runRecipe, type RunRecipeOptions } from '../run-recipe.js';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';
import { type Judgement, judge } from './gate.js';
import { type FrontPoint, paretoFront } from './pareto-front.js';
import { type LayerOption, planLayers } from './plan.js';
import { probeWeights } from './probe-weights.js';
import { betterStandard, fitSize, smallestPassing } from './search.js';
import { LEAVE_OUT, openSqueezeData } from './squeeze-data.js';
import { type TriedModel, Trials } from './trials.js';

export interface SqueezeOptions extends TaskOptions, Omit<Calibrated, 'leaveOut'>, Pick<RunRecipeOptions, 'check' | 'externalData' | 'threads' | 'report' | 'onNote'> {
  readonly input: string;
  /** Absent: the plan is made and nothing is written. */
  readonly output?: string | undefined;
  readonly data: string;
  /** Share of the size of the float model, or bytes. One of this and `maxLoss` must be given. */
  readonly targetSize?: { readonly share: number } | { readonly bytes: number } | undefined;
  /** What may be lost on the held-out samples: of perplexity or of the outputs as a share, of accuracy in hundredths; 0.01 is 1 %. */
  readonly maxLoss?: number | undefined;
  /** Replaces an existing output, and writes a model that fails. */
  readonly force?: boolean;
}

export interface SqueezeResult {
  readonly input: string;
  readonly output: string | undefined;
  /** The steps that make the model from the input, again and again. */
  readonly steps: readonly RecipeStep[];
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly targetBytes: number | undefined;
  readonly maxLoss: number | undefined;
  readonly passed: boolean;
  readonly metric: Judgement['metric'];
  /** On the held-out samples. */
  readonly loss: number;
  readonly heldOut: Comparison;
  readonly weights: readonly WeightLosses[];
  /** The way to treat all weights alike that was better than any mixture; then nothing is said of single weights. */
  readonly standard: string | undefined;
  /** What became of each weight, and what that was predicted to lose. */
  readonly chosen: readonly { readonly name: string; readonly method: string; readonly bytes: number; readonly loss: number }[];
  /** Some of the best predicted trades of size against loss. */
  readonly front: readonly { readonly bytes: number; readonly loss: number }[];
  readonly tried: readonly TriedModel[];
  /** Weights that were made better because the held-out samples did not pass, in order. */
  readonly fallbacks: readonly string[];
  readonly written: RecipeResult | undefined;
  readonly seconds: number;
}

/** Points of the front that are reported. */
const SHOWN_POINTS = 60;

/**
 * Throws `E_OPTION` without a target, for inputs of several graphs and sizes that cannot be reached; `E_GATE` when the model loses more than it may
 * and `force` is not given; and what the readers, passes and the writer throw. The output then is not there.
 */
export async function squeezeInput(options: SqueezeOptions): Promise<SqueezeResult> {
  const started = performance.now();
  const { data, samples, columns, scale, mean, std, targetSize, maxLoss, threads, signal, onProgress, seed, onNote = () => {} } = options;
  if (targetSize === undefined && maxLoss === undefined) throw new PenjingError('E_OPTION', 'squeezing needs a target', { hint: 'Give --target-size 25%, or --max-loss 1%, or both.' });
  const task: TaskOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) };
  const input = await openInput(options.input);
  const model = await onlyGraph(input, signal);
  const reading = Object.fromEntries(Object.entries({ samples, columns, scale, mean, std }).filter(([, value]) => value !== undefined));
  const split = await openSqueezeData(model, { input, data, ...reading });
  const { ortJobs, openComparison } = await loadRuntime();
  onNote('measuring what each weight would lose');
  const weights = await (async () => {
    await using jobs = ortJobs({ ...(threads !== undefined && { threads }) });
    return await weightLosses(cloneModel(model), { ...task, jobs, samples: split.calibration });
  })();
  await using comparison = await openComparison(model, { ...task, ...(threads !== undefined && { threads }) });
  await using work = await temporaryFolder();
  const trials = new Trials({ work: work.path, input, model, split, comparison, task, threads, calibration: { data, ...reading, leaveOut: LEAVE_OUT } });
  onNote('measuring what the model loses by each');
  const curves = await probeWeights(model, weights, { comparison, on: split.probes(), task });
  const layers = planLayers(weights, (weight, found) => curves.get(weight.name)!(found.error));
  const front = paretoFront(layers.map((layer) => layer.options));
  if (front.length === 0) throw new PenjingError('E_NOTHING_TO_DO', 'no weight of this model can be rounded', { hint: 'Weights of MatMul, Gemm and Gather can.' });

  onNote('trying models');
  const untouched = await comparison.compare(model, split.probes());
  const [bytesBefore, language] = [untouched.a.bytes, untouched.kind === 'language'];
  const standards = await trials.standard(language);
  const fixed = bytesBefore - weights.reduce((sum, { bytes }) => sum + bytes, 0);
  const targetBytes = targetSize && ('bytes' in targetSize ? targetSize.bytes : Math.floor(targetSize.share * bytesBefore));
  const measure = async (point: FrontPoint): Promise<{ bytes: number; passed: boolean }> => {
    const { bytes, comparison: found } = await trials.point(layers, point);
    return { bytes, passed: judge(found, maxLoss).passed };
  };
  const point = targetBytes === undefined ? ((await smallestPassing(front, language ? Math.log1p(maxLoss!) : maxLoss! ** 2, measure)) ?? front.at(-1)!) : await fitSize(front, targetBytes, fixed, measure);
  if (!point) {
    throw new PenjingError('E_OPTION', `the model cannot become as small as ${targetBytes} bytes by rounding weights: ${front[0]!.bytes + fixed} is about the least`, { hint: 'Give a larger --target-size.' });
  }

  const mixed = await trials.point(layers, point);
  const standard = betterStandard(standards, mixed, { maxLoss, targetBytes });
  const taken = standard && (await trials.proveStandard(standard, maxLoss));
  const { steps, choices, held, judgement, fallbacks } = taken ?? (await trials.prove(layers, point, { maxLoss, targetBytes }));
  const write = options.output !== undefined && (judgement.passed || options.force === true);
  const written = write ? await runRecipe({ input: options.input, output: options.output, steps }, writeOptions(options, task, trials, judgement)) : undefined;
  const result: SqueezeResult = {
    input: options.input, output: options.output, steps, bytesBefore, bytesAfter: held.b.bytes, targetBytes, maxLoss,
    passed: judgement.passed, metric: judgement.metric, loss: judgement.loss, heldOut: held, weights,
    standard: taken && standard.tried.name,
    chosen: choices ? layers.map(({ name, options: all }, i) => describeChoice(name, all[choices[i]!]!)) : [],
    front: thin(front).map(({ bytes, loss }) => ({ bytes: bytes + fixed, loss })),
    tried: trials.tried, fallbacks, written, seconds: (performance.now() - started) / 1000,
  };
  if (options.report !== undefined) await writeReport(options.report, squeezePage(result));
  if (!judgement.passed && options.output !== undefined && !options.force) throw failed(options.output, result);
  return result;
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

/** The file itself is judged again before it appears, since it is what people will run. */
function writeOptions({ check, externalData, threads, force = false, onNote }: SqueezeOptions, task: TaskOptions, trials: Trials, before: Judgement): RunRecipeOptions {
  return {
    ...task, check, externalData, threads, force, onNote,
    verify: async ([graph]) => {
      if (graph === undefined || force) return;
      const { loss } = judge(await trials.heldOut(graph), undefined);
      // The same steps on the same data: anything else is a fault of ours or of the disk.
      if (Math.abs(loss - before.loss) <= 1e-3 + 0.05 * Math.abs(before.loss)) return;
      throw new PenjingError('E_GATE', `the written model loses ${percent(loss)}, the one that was judged lost ${percent(before.loss)}`, { hint: 'Please report this.' });
    },
  };
}

function failed(output: string, { loss, metric, maxLoss }: SqueezeResult): PenjingError {
  return new PenjingError('E_GATE', `${output} is not written: on the held-out samples it would lose ${percent(loss)} of ${metric}${maxLoss === undefined ? '' : `, where ${percent(maxLoss)} may be lost`}`, {
    hint: 'Allow a larger size or loss, or give --force to have it all the same.',
    details: { loss, metric },
  });
}

function describeChoice(name: string, { candidate, bytes, loss }: LayerOption): SqueezeResult['chosen'][number] {
  return { name, method: candidate ? describeCandidate(candidate) : 'none', bytes, loss };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function thin(front: readonly FrontPoint[]): FrontPoint[] {
  if (front.length <= SHOWN_POINTS) return [...front];
  return Array.from({ length: SHOWN_POINTS }, (_, i) => front[Math.round((i * (front.length - 1)) / (SHOWN_POINTS - 1))]!);
}
