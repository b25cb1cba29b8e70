/** Where a result goes: one file, or a graph of a model folder with the files that belong beside it. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { type FileLayout, type JsonObject, type ModelFolder, openHuggingFaceConfig, type TransformersJsDType } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { withSizes } from './changed-sizes.js';
import type { Input } from './inputs/input.js';
import type { FolderLayout, WrittenGraph } from './layouts/folder-layout.js';
import { layouts } from './layouts/layouts.js';
import { CLIENT } from './layouts/transformers-js.js';
import type { OutputFormat } from './outputs/output-format.js';
import type { Recipe } from './recipe-schema.js';
import type { ConvertStep } from './steps/convert.js';
import { bindStep, type RecipeStep } from './steps/steps.js';

export type Variant = VariantFile | VariantFolder;

interface VariantFile {
  readonly kind: 'file';
  readonly target: string;
  /** Name of the file itself. */
  graph(stem: string): string;
}

interface VariantFolder {
  readonly kind: 'folder';
  readonly target: string;
  readonly layout: FolderLayout;
  /** Name of a graph relative to the folder. */
  graph(stem: string): string;
  /** How transformers.js calls what the steps make, when it has a word for it. */
  readonly dtype: TransformersJsDType | undefined;
  /** The folder holds this model already: its other graphs stay, whatever `force` replaces. */
  readonly adds: boolean;
}

export interface VariantRequest {
  readonly input: Input;
  readonly recipe: Recipe;
  readonly format: OutputFormat;
  readonly convert: ConvertStep;
}

/** Throws `E_OPTION` when the output does not fit the input. */
export async function planVariant({ input, recipe, format, convert }: VariantRequest): Promise<Variant> {
  const target = recipe.output.replace(/(?<=.)[/\\]+$/, '');
  if (target.endsWith(format.extension)) return { kind: 'file', target, graph: () => basename(target) };
  if (!input.folder || format.name !== 'onnx') {
    const why = format.name === 'onnx' ? 'the output of a file is a file' : `${format.name} is written as a file`;
    throw new PenjingError('E_OPTION', `${why}: ${recipe.output} does not end in ${format.extension}`, {
      hint: `For example -o ${target}${format.extension}`,
    });
  }
  const layout: FolderLayout = layouts[convert.layout ?? 'transformers.js'];
  const dtype = dtypeOf(recipe.steps);
  const adds = layout.shared !== undefined && existsSync(join(target, layout.shared)) && (await holdsModel(target, input));
  return { kind: 'folder', target, layout, graph: (stem) => layout.graph(stem, dtype), dtype, adds };
}

/** True when the configurations agree on every field that both have; those of transformers.js are about files. */
async function holdsModel(target: string, input: Input): Promise<boolean> {
  const there = await configOf(target);
  if (!there || !input.folder || !(await isConfigured(input.folder))) return there === undefined;
  const { config } = await openHuggingFaceConfig(input.folder);
  return Object.entries(config).every(([key, value]) => key === CLIENT || !(key in there) || JSON.stringify(there[key]) === JSON.stringify(value));
}

/** The configuration of a sentence embedder may lie beside its network, one folder deeper. */
async function isConfigured(folder: ModelFolder): Promise<boolean> {
  const names = await folder.list();
  return names.includes('config.json') || names.includes('modules.json');
}

async function configOf(folder: string): Promise<JsonObject | undefined> {
  const text = await readFile(join(folder, 'config.json'), 'utf8').catch(() => undefined);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as JsonObject);
  } catch {
    return {};
  }
}

/** The `dtype` of transformers.js for what the steps make; undefined for bfloat16. */
function dtypeOf(steps: readonly RecipeStep[]): TransformersJsDType | undefined {
  const all = steps.map((step) => bindStep(step).stored);
  const half = all.some((stored) => stored.half);
  const bits = all.findLast((stored) => stored.bits !== undefined)?.bits;
  const stored = all.findLast(({ dtype }) => dtype !== undefined)?.dtype;
  if (bits === 4) return half ? 'q4f16' : 'q4';
  if (bits === 2) return half ? 'q2f16' : 'q2';
  if (bits === 8) return 'q8';
  if (stored === 'bfloat16') return undefined;
  return half || stored === 'float16' ? 'fp16' : 'fp32';
}

/** Configuration, tokenizer and the rest; nothing for single files and folders that have no configuration. */
export async function besideGraphs(input: Input, variant: Variant, graphs: readonly WrittenGraph[]): Promise<FileLayout[]> {
  if (variant.kind === 'file' || !input.folder) return [];
  const { target, layout, dtype, adds } = variant;
  // A folder that is there already keeps its own configuration.
  const from = adds ? openFolder(target) : input.folder;
  if (!(await isConfigured(from))) return [];
  return layout.companions({ folder: withSizes(await openHuggingFaceConfig(from), graphs.find(({ sizes }) => sizes)?.sizes), target, dtype, adds, graphs });
}
