/** A model that another machine prepared for a job is hostile until our reader has walked it. */
import { memorySource, PenjingError, type PreparedModel } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { openExternalFile } from '@penjing/graph-io/node';
import { checkBytes, checkFile, type ExternalFile } from '../engine/model-source.js';
import type { StoredForJobs } from '../worker/local-engine.js';

/** The models in the input of a job, wherever they stand in it: by what it takes to load one. */
export function preparedModels(input: unknown): PreparedModel[] {
  const found: PreparedModel[] = [];
  collect(input, found, new Set());
  return found;
}

/** What stands in several places is looked at once, or it would be as many as somebody likes. */
function collect(input: unknown, found: PreparedModel[], seen: Set<object>): void {
  if (typeof input !== 'object' || input === null || ArrayBuffer.isView(input) || seen.has(input)) return;
  seen.add(input);
  const { source } = input as Partial<StoredForJobs>;
  if (typeof source === 'object' && source !== null && ('bytes' in source || 'path' in source)) found.push({ kind: 'model', reference: input });
  for (const item of input instanceof Map ? input.values() : Object.values(input)) collect(item, found, seen);
}

/** Throws what `readOnnx` throws, also for weights outside of the folder of the model; `E_DATA` for what no host prepares. */
export async function checkPrepared({ reference }: PreparedModel): Promise<void> {
  const { source, folder } = reference as { readonly source: { readonly [Field in 'kind' | 'path' | 'bytes' | 'externalData']?: unknown }; readonly folder?: unknown };
  if (source.kind === 'file') {
    // ONNX Runtime would look for weights in the folder, where nobody has checked them.
    if (typeof source.path !== 'string' || folder !== undefined) throw refused('a file with a folder beside it, or without a path');
    return void (await checkFile(source.path));
  }
  if (source.kind !== 'memory' || !(source.bytes instanceof ArrayBuffer)) throw refused('neither a file nor bytes');
  const bytes = new Uint8Array(source.bytes);
  const external = externalOf(source.externalData);
  if (folder === undefined) return void (await checkBytes(bytes, external));
  // The weights that ONNX Runtime took would not be those of the folder.
  if (typeof folder !== 'string' || external.length > 0) throw refused('weights in a folder and in memory');
  await readOnnx(memorySource(bytes), { externalSource: (location) => openExternalFile(folder, location) });
}

function externalOf(given: unknown): ExternalFile[] {
  if (!Array.isArray(given)) throw refused('no list of weights');
  return given.map((item: unknown) => {
    const { path, data } = (item ?? {}) as { readonly path?: unknown; readonly data?: unknown };
    if (typeof path !== 'string' || !(data instanceof ArrayBuffer)) throw refused('weights without a name or bytes');
    return { path, bytes: new Uint8Array(data) };
  });
}

function refused(what: string): PenjingError {
  return new PenjingError('E_DATA', `a model of a job is not one that a host prepares: ${what}`, { hint: 'Run the same version of Penjing on all machines.' });
}
