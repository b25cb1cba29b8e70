/** Where a result goes: one file, or a graph of a model folder with the files that belong beside it. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Model, PenjingError } from '@penjing/core';
import { type FileLayout, openHuggingFaceConfig, type JsonObject, transformersJsFiles, transformersJsModels, type TransformersJsVariant } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import type { Input } from './open-input.js';
import type { Recipe, RecipeStep } from './recipe-schema.js';

/** The field of config.json that is for transformers.js alone. */
const CLIENT = 'transformers.js_config';

export type Variant =
  | { readonly kind: 'file'; readonly target: string }
  | {
      readonly kind: 'folder';
      readonly target: string;
      /** The graph, relative to the folder. */
      readonly graph: string;
      /** The folder holds this model already: its other graphs stay, whatever `force` replaces. */
      readonly adds: boolean;
    };

/** Throws `E_OPTION` when the output does not fit the input. */
export async function planVariant(input: Input, recipe: Recipe): Promise<Variant> {
  const target = recipe.output.replace(/(?<=.)[/\\]+$/, '');
  if (target.endsWith('.onnx')) return { kind: 'file', target };
  if (input.kind === 'onnx') {
    throw new PenjingError('E_OPTION', `the output of a file is a file: ${recipe.output} does not end in .onnx`, {
      hint: `For example -o ${target}.onnx`,
    });
  }
  const graph = graphOf(recipe.steps);
  return { kind: 'folder', target, graph, adds: existsSync(join(target, 'onnx')) && (await holdsModel(target, input)) };
}

/** True when the configurations agree on every field that both have; those of transformers.js are about files. */
async function holdsModel(target: string, input: Input): Promise<boolean> {
  const there = await configOf(target);
  if (!there || !('folder' in input) || !(await input.folder.list()).includes('config.json')) return there === undefined;
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

/** Name of the graph file inside the target, or of the file itself. */
export function graphName(variant: Variant): string {
  return variant.kind === 'file' ? basename(variant.target) : variant.graph;
}

/** The file name that transformers.js expects for what the steps make. */
function graphOf(steps: readonly RecipeStep[]): string {
  let half = false;
  let bits: number | undefined;
  let stored: string | undefined;
  for (const step of steps) {
    if ('convert' in step) half ||= step.convert.dtype === 'float16';
    if ('quantize' in step) bits = step.quantize.bits ?? 4;
    if ('cast' in step) stored = step.cast.dtype;
  }
  if (bits === 4) return transformersJsModels[half ? 'q4f16' : 'q4'];
  if (bits === 2) return transformersJsModels[half ? 'q2f16' : 'q2'];
  if (bits === 8) return transformersJsModels.q8;
  if (stored === 'bfloat16') return 'onnx/model_bf16.onnx';
  return half || stored === 'float16' ? transformersJsModels.fp16 : transformersJsModels.fp32;
}

/** What transformers.js must know of a graph before it loads it. */
export function clientFacts(model: Model, graphs: readonly FileLayout[]): Omit<TransformersJsVariant, 'dtype'> {
  const cache = model.graph.inputs.find(({ name }) => name.startsWith('past_key_values.'))?.type;
  const half = cache?.kind === 'tensor' && cache.dtype === 'float16';
  return { externalFiles: graphs.length - 1, ...(half && { cacheDtype: 'float16' }) };
}

/** config.json, tokenizer and the rest; nothing for single files and folders that have no configuration. */
export async function companionFiles(input: Input, variant: Variant, facts: Omit<TransformersJsVariant, 'dtype'>): Promise<FileLayout[]> {
  if (variant.kind === 'file' || !('folder' in input)) return [];
  // A folder that is there already keeps its own configuration.
  const from = variant.adds ? openFolder(variant.target) : input.folder;
  if (!(await from.list()).includes('config.json')) return [];
  const folder = await openHuggingFaceConfig(from);
  const added: TransformersJsVariant[] = Object.entries(transformersJsModels)
    .filter(([, graph]) => graph === variant.graph)
    .map(([dtype]) => ({ dtype: dtype as TransformersJsVariant['dtype'], ...facts }));
  const others = variant.adds ? await otherVariants(variant.target, variant.graph) : [];
  const files = await transformersJsFiles(folder, [...others, ...added]);
  // Its files are left alone, except that transformers.js must learn of data files and caches.
  return variant.adds ? files.filter(({ name, pieces }) => name === 'config.json' && pieces[0]?.kind === 'bytes') : files;
}

async function otherVariants(target: string, graph: string): Promise<TransformersJsVariant[]> {
  const settings = (await configOf(target))?.[CLIENT] as { readonly kv_cache_dtype?: Readonly<Record<string, 'float16'>> } | undefined;
  return Object.entries(transformersJsModels).flatMap(([dtype, other]) => {
    const path = resolve(target, other);
    if (other === graph || !existsSync(path)) return [];
    const cacheDtype = settings?.kv_cache_dtype?.[dtype];
    return [{ dtype: dtype as TransformersJsVariant['dtype'], externalFiles: existsSync(`${path}_data`) ? 1 : 0, ...(cacheDtype && { cacheDtype }) }];
  });
}
