/** Where a result goes: one file, or a graph of a model folder with the files that belong beside it. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Model, PenjingError } from '@penjing/core';
import {
  type FileLayout, type JsonObject, openHuggingFaceConfig, type TransformersJsDType, transformersJsFiles, transformersJsModels, transformersJsPath,
  type TransformersJsVariant,
} from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import type { Input } from './inputs/input.js';
import type { OutputFormat } from './outputs/output-format.js';
import type { Recipe, RecipeStep } from './recipe-schema.js';

/** The field of config.json that is for transformers.js alone. */
const CLIENT = 'transformers.js_config';

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
  /** Name of a graph relative to the folder. */
  graph(stem: string): string;
  /** How transformers.js calls what the steps make, when it has a word for it. */
  readonly dtype: TransformersJsDType | undefined;
  /** The folder holds this model already: its other graphs stay, whatever `force` replaces. */
  readonly adds: boolean;
}

/** Throws `E_OPTION` when the output does not fit the input. */
export async function planVariant(input: Input, recipe: Recipe, format: OutputFormat): Promise<Variant> {
  const target = recipe.output.replace(/(?<=.)[/\\]+$/, '');
  if (target.endsWith(format.extension)) return { kind: 'file', target, graph: () => basename(target) };
  if (!input.folder || format.name !== 'onnx') {
    const why = format.name === 'onnx' ? 'the output of a file is a file' : `${format.name} is written as a file`;
    throw new PenjingError('E_OPTION', `${why}: ${recipe.output} does not end in ${format.extension}`, {
      hint: `For example -o ${target}${format.extension}`,
    });
  }
  const dtype = dtypeOf(recipe.steps);
  // transformers.js has no name for weights stored in bfloat16
  const graph = (stem: string): string => (dtype === undefined ? `onnx/${stem}_bf16.onnx` : transformersJsPath(stem, dtype));
  return { kind: 'folder', target, graph, dtype, adds: existsSync(join(target, 'onnx')) && (await holdsModel(target, input)) };
}

/** True when the configurations agree on every field that both have; those of transformers.js are about files. */
async function holdsModel(target: string, input: Input): Promise<boolean> {
  const there = await configOf(target);
  if (!there || !input.folder || !(await input.folder.list()).includes('config.json')) return there === undefined;
  const { config } = await openHuggingFaceConfig(input.folder);
  return Object.entries(config).every(([key, value]) => key === CLIENT || !(key in there) || JSON.stringify(there[key]) === JSON.stringify(value));
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
  let half = false;
  let bits: number | undefined;
  let stored: string | undefined;
  for (const step of steps) {
    if ('convert' in step) half ||= step.convert.dtype === 'float16';
    if ('quantize' in step) bits = step.quantize.bits ?? 4;
    if ('cast' in step) stored = step.cast.dtype;
  }
  if (bits === 4) return half ? 'q4f16' : 'q4';
  if (bits === 2) return half ? 'q2f16' : 'q2';
  if (bits === 8) return 'q8';
  if (stored === 'bfloat16') return undefined;
  return half || stored === 'float16' ? 'fp16' : 'fp32';
}

/** What transformers.js must know of a graph before it loads it. */
export interface GraphFacts extends Omit<TransformersJsVariant, 'dtype'> {
  readonly stem: string;
}

export function graphFacts(stem: string, model: Model, files: readonly FileLayout[]): GraphFacts {
  const cache = model.graph.inputs.find(({ name }) => name.startsWith('past_key_values.'))?.type;
  const half = cache?.kind === 'tensor' && cache.dtype === 'float16';
  return { stem, externalFiles: files.length - 1, ...(half && { cacheDtype: 'float16' }) };
}

/** config.json, tokenizer and the rest; nothing for single files and folders that have no configuration. */
export async function companionFiles(input: Input, variant: Variant, facts: readonly GraphFacts[]): Promise<FileLayout[]> {
  if (variant.kind === 'file' || !input.folder) return [];
  // A folder that is there already keeps its own configuration.
  const from = variant.adds ? openFolder(variant.target) : input.folder;
  if (!(await from.list()).includes('config.json')) return [];
  const folder = await openHuggingFaceConfig(from);
  const { dtype } = variant;
  const added: TransformersJsVariant[] = dtype === undefined ? [] : facts.map((fact) => ({ ...fact, dtype }));
  const others = variant.adds ? await otherVariants(variant, facts) : [];
  const files = await transformersJsFiles(folder, [...others, ...added]);
  // Its files are left alone, except that transformers.js must learn of data files and caches.
  return variant.adds ? files.filter(({ name, pieces }) => name === 'config.json' && pieces[0]?.kind === 'bytes') : files;
}

/** The other graphs of the folder that are parts of the same model. */
async function otherVariants(variant: VariantFolder, facts: readonly GraphFacts[]): Promise<TransformersJsVariant[]> {
  const settings = (await configOf(variant.target))?.[CLIENT] as { readonly kv_cache_dtype?: Readonly<Record<string, 'float16'>> } | undefined;
  return (Object.keys(transformersJsModels) as TransformersJsDType[]).flatMap((dtype) =>
    facts.flatMap(({ stem }) => {
      const path = resolve(variant.target, transformersJsPath(stem, dtype));
      if (dtype === variant.dtype || !existsSync(path)) return [];
      const cacheDtype = settings?.kv_cache_dtype?.[dtype];
      return [{ dtype, stem, externalFiles: existsSync(`${path}_data`) ? 1 : 0, ...(cacheDtype && { cacheDtype }) }];
    }),
  );
}
