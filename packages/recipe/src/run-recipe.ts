/** Runs a recipe: open the input, build the model, apply the passes, stream the result to disk, load it once. */
import { join, resolve } from 'node:path';
import {
  check, type GraphIssue, type Model, PenjingError, pipeline, type TaskOptions, type WeightRecord,
} from '@penjing/core';
import { convertHuggingFace, openHuggingFaceFolder, serializeOnnx } from '@penjing/graph-io';
import { saveFile, saveLayouts, type SaveResult } from '@penjing/graph-io/node';
import { checkLoads, type LoadCheck } from './check-loads.js';
import { clientFacts, companionFiles, graphName, planVariant } from './model-layout.js';
import { rememberGraph } from './manifest.js';
import { detectInput, type Input, openOnnx } from './open-input.js';
import type { ConvertStep, Recipe, RecipeStep } from './recipe-schema.js';
import { writeReport } from './compare-inputs.js';
import { recordsPage } from './report/records-page.js';
import { passesOf } from './steps.js';

export interface RunRecipeOptions extends TaskOptions {
  readonly force?: boolean;
  readonly resume?: boolean;
  /** Load the result once with ONNX Runtime, in a worker thread; true when absent. */
  readonly check?: boolean;
  readonly externalData?: 'auto' | 'always' | 'never' | undefined;
  readonly threads?: number | undefined;
  /** A page with the records. */
  readonly report?: string | undefined;
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
}

/** Throws what the readers, passes and the writer throw; the output then is not there. */
export async function runRecipe(recipe: Recipe, options: RunRecipeOptions = {}): Promise<RecipeResult> {
  const started = performance.now();
  const { signal, onProgress, seed, onNote = () => {} } = options;
  const input = await detectInput(recipe.input);
  const variant = await planVariant(input, recipe);
  const built = await buildModel(input, recipe, signal);
  const passes = passesOf(recipe.steps);
  const before = new Set(check(built).map(issueKey));
  const task: TaskOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) };
  const { model, records, warnings } = await pipeline(passes).run(built, task);
  assertNoNewIssues(model, before);
  signal?.throwIfAborted();

  const graphs = serializeOnnx(model, { name: graphName(variant), externalData: options.externalData ?? 'auto' });
  const companions = await companionFiles(input, variant, clientFacts(model, graphs));
  let loaded: LoadCheck | undefined;
  const saving = {
    ...task,
    force: options.force ?? false,
    resume: options.resume ?? false,
    planKey: JSON.stringify(recipe.steps),
    ...(options.threads !== undefined && { threads: options.threads }),
    ...(options.check !== false && {
      verify: async (folder: string) => {
        loaded = await checkLoads(join(folder, graphName(variant)), { name: recipe.output, signal });
      },
    }),
  };
  const saved =
    variant.kind === 'file'
      ? await saveFile(variant.target, graphs, saving)
      : await saveLayouts(variant.target, [...companions, ...graphs], { ...saving, add: variant.adds, replace: ['config.json'] });
  saved.notes.forEach(onNote);
  const completed = completeRecords(records, saved);
  if (variant.kind === 'folder') await rememberGraph(variant.target, variant.graph, { steps: recipe.steps, records: completed });
  if (options.report !== undefined) await writeReport(options.report, recordsPage(recipe, completed, saved.bytes));
  return {
    output: recipe.output,
    files: saved.files,
    bytes: saved.bytes,
    seconds: (performance.now() - started) / 1000,
    records: completed,
    warnings,
    ...(loaded && { check: loaded }),
  };
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

async function buildModel(input: Input, recipe: Recipe, signal: AbortSignal | undefined): Promise<Model> {
  const convert = convertOptions(recipe.steps);
  if (input.kind !== 'huggingface' && (convert.dtype === 'float16' || convert.attention !== undefined)) {
    throw new PenjingError('E_OPTION', `${input.path} is a graph already: its element type and attention are not chosen any more`, {
      hint: 'Convert the checkpoint again, or store the weights as float16 with a `cast` step.',
    });
  }
  switch (input.kind) {
    case 'huggingface':
      return convertHuggingFace(await openHuggingFaceFolder(input.folder), convert);
    case 'onnx':
      return openOnnx(input.path, signal);
    case 'model-folder':
      return openOnnx(resolve(input.path, input.graphs[0]!), signal);
    case 'safetensors':
      throw new PenjingError('E_FORMAT', `${input.path} has weights but no graph`, {
        hint: 'Give the folder that holds it together with its config.json.',
      });
  }
}

/** How the model is built; throws `E_RECIPE` unless conversion, if there is any, comes first and once. */
function convertOptions(steps: readonly RecipeStep[]): ConvertStep {
  const at = steps.findLastIndex((step) => 'convert' in step);
  if (at > 0) throw new PenjingError('E_RECIPE', `step ${at + 1} converts; only the first step can`, { hint: 'Put one `convert` step first.' });
  const [first] = steps;
  return first && 'convert' in first ? first.convert : {};
}

/** Adds what was measured while the weights were written. */
function completeRecords(records: readonly WeightRecord[], saved: SaveResult): WeightRecord[] {
  return records.map((record) => {
    const stats = record.measuredBy === undefined ? undefined : saved.measured.get(record.measuredBy);
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

