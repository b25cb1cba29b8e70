/** What a model folder is for, told from the head of its file and the configuration beside it; no session is opened. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { tensorType, type Value, type ValueInfo } from '@penjing/core';
import { checkFile } from '../engine/model-source.js';
import { locateModel, readLanguageConfig } from '../model-folder.js';
import { hasLogits, looksLikeDecoder } from '../worker/decoder-layout.js';
import { readEmbeddingConfig } from './embedding-config.js';
import { POOLED_OUTPUTS, STATE_OUTPUTS } from './embedder.js';
import { TEXT_INPUTS } from './text-model.js';

/** 'text-generation' is for `loadGenerator`, 'embedding' for `loadEmbedder`, 'tensors' for `ortEngine`. */
export type ModelTask = 'text-generation' | 'embedding' | 'tensors';

export interface ModelSummary {
  readonly task: ModelTask;
  /** The ONNX file, and the folder with its configuration. */
  readonly file: string;
  readonly folder: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** The file and its external data. */
  readonly bytes: number;
}

/** Throws `E_NOT_FOUND`, and what checking the file throws. */
export async function summarizeModel(path: string, { variant, signal }: { readonly variant?: string; readonly signal?: AbortSignal } = {}): Promise<ModelSummary> {
  const { path: file, folder } = await locateModel(path, variant);
  const { model, bytes } = await checkFile(file, signal);
  // Old files list weights among their inputs.
  const inputs = model.graph.inputs.filter(({ tensor }) => !tensor).map(infoOf);
  const outputs = model.graph.outputs.map(infoOf);
  return { task: await taskOf(folder, inputs, outputs), file, folder, inputs, outputs, bytes };
}

async function taskOf(folder: string, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): Promise<ModelTask> {
  const readsText = await access(join(folder, 'tokenizer.json')).then(() => true, () => false);
  if (!readsText) return 'tensors';
  if (looksLikeDecoder(inputs, outputs)) return 'text-generation';
  if (hasLogits(inputs, outputs)) return (await readLanguageConfig(folder)).causal ? 'text-generation' : 'tensors';
  if (!inputs.every(({ name }) => (TEXT_INPUTS as readonly string[]).includes(name))) return 'tensors';
  const gives = (names: readonly string[]): boolean => outputs.some(({ name }) => names.includes(name));
  if (gives(POOLED_OUTPUTS)) return 'embedding';
  if (!gives(STATE_OUTPUTS)) return 'tensors';
  const { steps, others } = await readEmbeddingConfig(folder);
  return steps && others.length === 0 ? 'embedding' : 'tensors';
}

function infoOf({ name, type }: Value): ValueInfo {
  return { name, type: type ?? tensorType() };
}
