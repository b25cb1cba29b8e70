/** What a user names as a model that runs: the file of a graph, or a checkpoint converted in memory. */
import { dirname } from 'node:path';
import { PenjingError } from '@penjing/core';
import type { ModelReference, Tokenizer } from '@penjing/runtime';
import { openInput } from './inputs/open-input.js';
import { loadRuntime } from './load-runtime.js';

export interface ModelChoice {
  /** A model folder, an `.onnx` file, or anything that converts to one graph. */
  readonly path: string;
  /** Which graph of a folder; the full-precision one when absent. */
  readonly variant?: string | undefined;
}

export interface RunnableModel {
  readonly reference: ModelReference;
  /** Of models in memory: their files are not found beside them. */
  readonly tokenizer?: () => Promise<Tokenizer>;
}

/** Throws `E_FORMAT` for an input that becomes several graphs, and what the readers throw. */
export async function runnableModel({ path, variant }: ModelChoice, signal?: AbortSignal): Promise<RunnableModel> {
  if (variant !== undefined) return { reference: { path, variant } };
  const input = await openInput(path);
  if (input.format === 'ONNX' || input.format === 'model folder') return { reference: { path } };
  const [model, ...others] = [...(await input.graphs({ signal })).values()];
  if (!model || others.length > 0) {
    throw new PenjingError('E_FORMAT', `${path} becomes several graphs`, { hint: 'Convert it first: `penjing convert`.' });
  }
  model.graph.name ||= path;
  return { reference: model, tokenizer: async () => (await loadRuntime()).loadTokenizer(input.folder ? path : dirname(path)) };
}
