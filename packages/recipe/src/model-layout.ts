/** Where a result goes: one file, or a graph of a model folder with the files that belong beside it. */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import { type FileLayout, openHuggingFaceConfig, transformersJsFiles, transformersJsModels, type TransformersJsVariant } from '@penjing/graph-io';
import type { Input } from './open-input.js';
import type { Recipe, RecipeStep } from './recipe-schema.js';

export type Variant =
  | { readonly kind: 'file'; readonly target: string }
  | {
      readonly kind: 'folder';
      readonly target: string;
      /** The graph, relative to the folder. */
      readonly graph: string;
      /** A graph is added to a folder that is there already. */
      readonly adds: boolean;
    };

/** Throws `E_OPTION` when the output does not fit the input. */
export function planVariant(input: Input, recipe: Recipe): Variant {
  const target = recipe.output.replace(/[/\\]+$/, '');
  if (target.endsWith('.onnx')) return { kind: 'file', target };
  if (input.kind === 'onnx' || input.kind === 'safetensors') {
    throw new PenjingError('E_OPTION', `the output of a file is a file: ${recipe.output} does not end in .onnx`, {
      hint: `For example -o ${target}.onnx`,
    });
  }
  const graph = graphOf(recipe.steps);
  return { kind: 'folder', target, graph, adds: existsSync(join(target, 'onnx')) && !existsSync(join(target, graph)) };
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

/** config.json, tokenizer and the rest; nothing for single files and folders that have no configuration. */
export async function companionFiles(input: Input, variant: Variant, externalFiles: number): Promise<FileLayout[]> {
  if (variant.kind === 'file' || !('folder' in input)) return [];
  if (!(await input.folder.list()).includes('config.json')) return [];
  const folder = await openHuggingFaceConfig(input.folder);
  const added: TransformersJsVariant[] = Object.entries(transformersJsModels)
    .filter(([, graph]) => graph === variant.graph)
    .map(([dtype]) => ({ dtype: dtype as TransformersJsVariant['dtype'], externalFiles }));
  const files = await transformersJsFiles(folder, [...existingVariants(variant.target, variant.adds), ...added]);
  // What stands in the folder already is left alone, except that transformers.js must learn of external data.
  return variant.adds ? files.filter(({ name }) => name === 'config.json' && externalFiles > 0) : files;
}

function existingVariants(target: string, adds: boolean): TransformersJsVariant[] {
  if (!adds) return [];
  return Object.entries(transformersJsModels).flatMap(([dtype, graph]) => {
    const path = resolve(target, graph);
    if (!existsSync(path)) return [];
    return [{ dtype: dtype as TransformersJsVariant['dtype'], externalFiles: existsSync(`${path}_data`) ? 1 : 0 }];
  });
}
