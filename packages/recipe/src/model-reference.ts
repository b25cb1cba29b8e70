/** What a user names as a model that runs: the file of a graph, or a checkpoint converted in memory. */
import { dirname } from 'node:path';
import { type Model, PenjingError } from '@penjing/core';
import type { ModelReference } from '@penjing/runtime';
import { openInput } from './inputs/open-input.js';

export interface ModelChoice {
  /** A model folder, an `.onnx` file, or anything that converts to one graph. */
  readonly path: string;
  /** Which graph of a folder; the full-precision one when absent. */
  readonly variant?: string | undefined;
}

export interface RunnableModel {
  /** As the user gave it. */
  readonly path: string;
  /** The graph, for its inputs. */
  readonly model: () => Promise<Model>;
  readonly reference: ModelReference;
  /** Of models in memory: their files are not found beside them. */
  readonly tokenizerFolder?: string;
}

/** Throws `E_FORMAT` for an input that becomes several graphs, and what the readers throw. */
export async function runnableModel({ path, variant }: ModelChoice, signal?: AbortSignal): Promise<RunnableModel> {
  const only = async (): Promise<Model> => {
    const [model, ...others] = [...(await input.graphs({ signal })).values()];
    if (model && others.length === 0) return model;
    throw new PenjingError('E_FORMAT', `${path} becomes several graphs`, { hint: 'Convert it first: `penjing convert`.' });
  };
  const input = await openInput(path);
  if (variant !== undefined) return { path, model: only, reference: { path, variant } };
  if (input.format === 'ONNX' || input.format === 'model folder') return { path, model: only, reference: { path } };
  const model = await only();
  model.graph.name ||= path;
  return { path, model: async () => model, reference: model, tokenizerFolder: input.folder ? path : dirname(path) };
}
