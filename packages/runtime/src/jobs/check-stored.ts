/** A model that another machine prepared for a job is hostile until our reader has walked it. */
import { memorySource, type PreparedModel } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { openExternalFile } from '@penjing/graph-io/node';
import { checkBytes, checkFile } from '../engine/model-source.js';
import type { StoredForJobs } from '../worker/local-engine.js';

/** The models in the input of a job, wherever they stand in it: by what it takes to load one. */
export function preparedModels(input: unknown): PreparedModel[] {
  if (typeof input !== 'object' || input === null || ArrayBuffer.isView(input)) return [];
  const inner = input instanceof Map ? [...input.values()] : Object.values(input);
  const { source } = input as Partial<StoredForJobs>;
  const own: PreparedModel[] = typeof source === 'object' && source !== null && ('bytes' in source || 'path' in source) ? [{ kind: 'model', reference: input }] : [];
  return [...own, ...inner.flatMap((item) => preparedModels(item))];
}

/** Throws what `readOnnx` throws, also for weights outside of the folder of the model. */
export async function checkPrepared({ reference }: PreparedModel): Promise<void> {
  const { source, folder } = reference as StoredForJobs;
  if (source.kind === 'file') return void (await checkFile(source.path));
  const bytes = new Uint8Array(source.bytes);
  if (folder === undefined) return void (await checkBytes(bytes, source.externalData.map(({ path, data }) => ({ path, bytes: new Uint8Array(data) }))));
  await readOnnx(memorySource(bytes), { externalSource: (location) => openExternalFile(folder, location) });
}
