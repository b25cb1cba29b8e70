/** Runs a recipe: open the input, build its graphs, apply the passes, stream the result to disk, load it once. */
import { join } from 'node:path';
import { check, type Checkpoint, cloneModel, dtypes, type GraphIssue, type Model, type PassResult, PenjingError, type TaskOptions, type WeightRecord } from '@penjing/core';
import type { GradientExchange } from '@penjing/distill';
import type { FileLayout } from '@penjing/graph-io';
import { type Pool, saveFile, saveLayouts, type SaveResult } from '@penjing/graph-io/node';
import { applySteps, type OpenedStep, openSteps } from './apply-steps.js';
import { checkEquivalent, type PlannedComparison } from './check-equivalent.js';
import { checkLoads, type LoadCheck } from './check-loads.js';
import { startPool } from './early-pool.js';
import { openEagerWork } from './eager-work.js';
import type { Input } from './inputs/input.js';
import { openInput } from './inputs/open-input.js';
import { withGraphs } from './manifest.js';
import type { WrittenGraph } from './layouts/folder-layout.js';
import { besideGraphs, planVariant, type Variant } from './model-layout.js';
import { outputFormat } from './outputs/formats.js';
import type { Fleet } from './parallel/fleet-jobs.js';
import type { GraphOutput, WeightsOutput, WeightsOutputOptions } from './outputs/output-format.js';
import type { Recipe } from './recipe-schema.js';
import { checkReport, writeReport } from './report/write-report.js';
import { buildFields, type ConvertStep, writeFields } from './steps/convert.js';
import type { Training } from './steps/step.js';
import { bindStep, type RecipeStep } from './steps/steps.js';

export interface RunRecipeOptions extends TaskOptions {
  readonly force?: boolean;
  readonly resume?: boolean;
  /** Load the result once with ONNX Runtime, in a worker thread; true when absent. */
  readonly check?: boolean;
  readonly externalData?: 'auto' | 'always' | 'never' | undefined;
  readonly threads?: number | undefined;
  /** A page with the records. */
  readonly report?: string | undefined;
  /** Looks at the graphs in the work folder before the result appears, and throws when it must not. */
  readonly verify?: (graphs: readonly string[]) => Promise<void>;
  /** What the steps came to when they were applied before, for the one graph of the input: they are not applied again. */
  readonly applied?: PassResult | undefined;
  /** Threads that wait for work already; whoever started them stops them. */
  readonly pool?: Pool | undefined;
  /** Workers that run the heavy jobs of calibrated and training steps. */
  readonly fleet?: Fleet | undefined;
  /** Processes that run the same recipe on other machines, and train together: `joinTraining` opens it. */
  readonly exchange?: GradientExchange | undefined;
  /** What the manifest of a folder shall remember besides. */
  readonly remember?: { readonly gate?: string };
  /** Things people may want to know while it runs. */
  readonly onNote?: (text: string) => void;
}

export interface RecipeResult {
  readonly output: string;
  /** Paths of the written files. */
  readonly files: readonly string[];
  readonly bytes: number;
  readonly seconds: number;
  readonly records: readonly WeightRecord[];
  readonly warnings: readonly string[];
  readonly check?: LoadCheck;
  /** Of each step that trained, how it went. */
  readonly training?: readonly Training[];
}

/** Throws what the readers, passes and the writer throw; the output then is not there. */
export async function runRecipe(recipe: Recipe, options: RunRecipeOptions = {}): Promise<RecipeResult> {
  const started = performance.now();
  const { signal, onProgress, seed, onNote = () => {} } = options;
  const task: TaskOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) };
  const convert = convertOptions(recipe.steps);
  if (options.report !== undefined) await checkReport(options.report);
  const format = outputFormat(convert, recipe.output);
  // Steps that compute for long before anything is saved have threads of their own.
  const eager = recipe.steps.map(bindStep).some((step) => step.calibration || step.runsJobs);
  await using owned = eager || options.pool ? undefined : await startPool(recipe.input, options.threads);
  const pool = options.pool ?? owned;
  const input = await openInput(recipe.input);
  assertAccepted(recipe.input, input, convert, buildFields);
  assertAccepted(recipe.output, { format: format.name, accepts: format.accepts }, convert, writeFields);
  // Graphs before the plan: weights alone are refused as such, whatever is wrong with the name of the output.
  const source =
    format.kind === 'graph'
      ? { kind: format.kind, format, models: await input.graphs({ ...format.prefers, ...convert, signal }) }
      : { kind: format.kind, format, checkpoint: await input.checkpoint({ ...convert, signal }) };
  const steps = await openSteps(recipe.steps, input);
  const variant = await planVariant({ input, recipe, format, convert });
  const running = { force: options.force ?? false, resume: options.resume ?? false };
  await using work = !options.applied && steps.some(({ step, data }) => data || step.runsJobs) ? await openEagerWork(variant, { ...running, onNote }) : undefined;
  const training: Training[] = [];
  const { files, graphs, comparisons, records, onlyMeasured, warnings }: Planned =
    source.kind === 'graph'
      ? await graphFiles({ ...source, input, variant, recipe, options, task, convert, steps, work: work?.path, pool, onTrained: (one) => void training.push(one) })
      : await weightFiles(source.format, source.checkpoint, { name: variant.graph('model'), input, write: convert, steps: recipe.steps });
  signal?.throwIfAborted();

  const loaded: LoadCheck[] = [];
  const checked = options.check !== false && format.name === 'onnx';
  const saving = {
    ...task,
    ...running,
    ...(work && { work }),
    planKey: planKeyOf(recipe, steps),
    ...(options.threads !== undefined && { threads: options.threads }),
    ...(pool && { pool }),
    ...((checked || options.verify) && {
      verify: async (folder: string) => {
        for (const graph of checked ? graphs : []) loaded.push(await checkLoads(join(folder, graph), { name: recipe.output, signal }));
        for (const comparison of checked ? comparisons : []) await checkEquivalent(comparison, folder, { name: recipe.output, signal });
        await options.verify?.(graphs.map((graph) => join(folder, graph)));
      },
    }),
  };
  const completed = (measured: SaveResult['measured']): WeightRecord[] =>
    completeRecords(onlyMeasured ? records.filter(({ measuredBy = '' }) => measured.has(measuredBy)) : records, measured);
  const saved =
    variant.kind === 'file'
      ? await saveFile(variant.target, files, saving)
      : await saveLayouts(variant.target, files, {
          ...saving,
          add: variant.adds,
          replace: ['config.json'],
          manifest: (measured, earlier) => withGraphs(earlier, graphs, { steps: recipe.steps, records: completed(measured), ...options.remember }),
        });
  await work?.remove();
  saved.notes.forEach(onNote);
  if (options.report !== undefined) {
    // Plots take 30 ms to load, a tenth of a short run.
    const { recordsPage } = await import('./report/records-page.js');
    const { trainingPage } = await import('./report/training-page.js');
    const written = completed(saved.measured);
    await writeReport(options.report, training.length > 0 ? trainingPage(recipe, training, written) : recordsPage(recipe, written, saved.bytes));
  }
  return {
    output: recipe.output,
    files: saved.files,
    bytes: saved.bytes,
    seconds: (performance.now() - started) / 1000,
    records: completed(saved.measured),
    warnings,
    ...(loaded.length > 0 && { check: mergeChecks(loaded) }),
    ...(training.length > 0 && { training }),
  };
}

/** What a run does to its input: one that goes on must do the same. */
function planKeyOf({ steps }: Recipe, opened: readonly OpenedStep[]): string {
  return JSON.stringify([steps, ...opened.map(({ data }) => data?.hash)]);
}

/** What is to be written, nothing computed yet. */
interface Planned {
  readonly files: readonly FileLayout[];
  /** The graphs among the files, by name. */
  readonly graphs: readonly string[];
  /** Graphs that must compute what they computed before. */
  readonly comparisons: readonly PlannedComparison[];
  readonly records: readonly WeightRecord[];
  /** Records of weights that nothing was measured of are dropped. */
  readonly onlyMeasured?: boolean;
  readonly warnings: readonly string[];
}

/** Every piece may turn out to be rounded: what was measured while it was written says so, and the others get no record. */
async function weightFiles(format: WeightsOutput, checkpoint: Checkpoint, options: WeightsOutputOptions): Promise<Planned> {
  const { files, rounding } = await format.layouts(checkpoint, options);
  const planned = { files, graphs: [], comparisons: [], warnings: [] };
  if (!rounding) return { ...planned, records: [] };
  const [float] = [...checkpoint.tensors.values()].filter(({ dtype }) => dtypes[dtype].kind === 'float');
  const sizes = new Map<string, { values: number; all: number }>();
  for (const piece of files.flatMap((file) => file.pieces)) {
    if (piece.kind !== 'tensor') continue;
    // scales and zero points stand under the name of their weight, or behind it: the integers are the largest
    const { values, all } = sizes.get(piece.name) ?? { values: 0, all: 0 };
    sizes.set(piece.name, { values: Math.max(values, piece.tensor.byteLength), all: all + piece.tensor.byteLength });
  }
  const records = [...sizes].map(([name, { values, all }]): WeightRecord => {
    const elements = Math.round((values * 8) / rounding.bits);
    const beside = ['scale', 'zero_point'].reduce((sum, part) => sum + (sizes.get(`${name}.${part}`)?.all ?? 0), 0);
    return { name, method: rounding.method, elements, bytesBefore: (elements * dtypes[float?.dtype ?? 'float32'].bits) / 8, bytesAfter: all + beside, measuredBy: name };
  });
  return { ...planned, records, onlyMeasured: true };
}

interface GraphFilesInput {
  readonly input: Input;
  readonly models: ReadonlyMap<string, Model>;
  readonly variant: Variant;
  readonly format: GraphOutput;
  readonly recipe: Recipe;
  readonly options: RunRecipeOptions;
  readonly task: TaskOptions;
  readonly convert: ConvertStep;
  readonly steps: readonly OpenedStep[];
  /** Where eager steps leave their results. */
  readonly work: string | undefined;
  readonly pool: Pool | undefined;
  readonly onTrained: (training: Training) => void;
}

/** Applies the steps to every graph, and lays out their files with those that belong beside them. */
async function graphFiles({ input, models, variant, format, recipe, options, task, convert, steps, work, pool, onTrained }: GraphFilesInput): Promise<Planned> {
  if (variant.kind === 'file' && models.size > 1) {
    throw new PenjingError('E_OPTION', `${recipe.input} becomes several graphs (${[...models.keys()].join(', ')}): ${recipe.output} is one file`, {
      hint: `Give a folder: -o ${recipe.output.replace(/\.\w+$/, '')}`,
    });
  }
  const samples = Math.max(0, ...steps.map(({ step }) => step.check));
  const files: FileLayout[] = [];
  const graphs: string[] = [];
  const records: WeightRecord[] = [];
  const warnings: string[] = [...(input.warnings ?? [])];
  const written: WrittenGraph[] = [];
  const comparisons: PlannedComparison[] = [];
  for (const [stem, built] of models) {
    const before = new Set(check(built).map(issueKey));
    const original = samples > 0 ? cloneModel(built) : undefined;
    const result = options.applied ?? await applySteps(steps, built, { ...task, threads: options.threads, work, run: { key: planKeyOf(recipe, steps), graph: stem }, format: format.name, exchange: options.exchange, fleet: options.fleet, onNote: options.onNote, onTrained });
    assertNoNewIssues(result.model, before);
    const name = variant.graph(stem);
    const layouts = await format.layouts(result.model, { name, externalData: options.externalData ?? 'auto', write: convert, signal: options.signal, pool });
    files.push(...layouts);
    graphs.push(name);
    records.push(...result.records);
    warnings.push(...result.warnings);
    if (original) comparisons.push({ original, graph: name, samples });
    written.push({ stem, model: result.model, files: layouts, ...(result.sizes && { sizes: result.sizes }) });
  }
  return { files: [...(await besideGraphs(input, variant, written)), ...files], graphs, comparisons, records, warnings };
}

/** Throws `E_OPTION` for an option of the conversion that means nothing for this input, or this output. */
function assertAccepted(path: string, { format, accepts }: { readonly format: string; readonly accepts: readonly string[] }, convert: ConvertStep, fields: readonly (keyof ConvertStep)[]): void {
  for (const name of fields) {
    // float32 is what everything is converted to anyway
    if (convert[name] === undefined || convert[name] === 'float32' || accepts.includes(name)) continue;
    const chosen = accepts.filter((field) => field !== 'to');
    throw new PenjingError('E_OPTION', `${name} cannot be chosen for ${path} (${format})`, {
      hint: chosen.length > 0 ? `What can be chosen: ${chosen.join(', ')}.` : 'Convert the checkpoint again, or store the weights as float16 with a `cast` step.',
    });
  }
}

function mergeChecks(checks: readonly LoadCheck[]): LoadCheck {
  const [first, ...rest] = checks;
  if (first && rest.length === 0) return first;
  const milliseconds = checks.reduce((sum, { milliseconds = 0 }) => sum + milliseconds, 0);
  return { done: checks.every(({ done }) => done), text: [...new Set(checks.map(({ text }) => text))].join('; '), milliseconds };
}

/** Files that ONNX Runtime takes may break an invariant of ours from the start; what counts is that the passes break none. */
function assertNoNewIssues(model: Model, before: ReadonlySet<string>): void {
  const issues = check(model).filter((issue) => !before.has(issueKey(issue)));
  if (issues.length === 0) return;
  const shown = issues.slice(0, 5).map(({ graph, message }) => `${graph || 'main'}: ${message}`);
  throw new PenjingError('E_GRAPH', `the steps left a graph that is not sound: ${shown.join('; ')}`, {
    hint: 'This is a bug in Penjing; please report it with the command.',
    details: { issues: issues.length },
  });
}

function issueKey({ graph, message }: GraphIssue): string {
  return `${graph}\n${message}`;
}

/** How the model is built; throws `E_RECIPE` unless conversion, if there is any, comes first and once. */
function convertOptions(steps: readonly RecipeStep[]): ConvertStep {
  const at = steps.findLastIndex((step) => 'convert' in step);
  if (at > 0) throw new PenjingError('E_RECIPE', `step ${at + 1} converts; only the first step can`, { hint: 'Put one `convert` step first.' });
  const [first] = steps;
  return first && 'convert' in first ? first.convert : {};
}

/** Adds what was measured while the weights were written. */
function completeRecords(records: readonly WeightRecord[], measured: SaveResult['measured']): WeightRecord[] {
  return records.map((record) => {
    const stats = record.measuredBy === undefined ? undefined : measured.get(record.measuredBy);
    if (!stats) return record;
    const { sumSquares, sumSquaredError, maxError, nonFinite } = stats;
    return {
      ...record,
      objective: sumSquaredError / 2,
      snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError),
      maxError,
      ...(nonFinite > 0 && { note: `${nonFinite} values were not finite` }),
    };
  });
}

