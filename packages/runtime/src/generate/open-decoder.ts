/** Opens a language model for generation: in the form for it where it has one. */
import { dirname, resolve } from 'node:path';
import { weightFolder } from '../engine/model-source.js';
import { type OpenedModel, openFile, type OpenOptions, openSource } from '../engine/open.js';
import { providersOf } from '../engine/settings.js';
import type { SessionHost } from '../session-host.js';
import { runJobIn } from '../tasks/run-job-in.js';
import { formJob } from './form-job.js';
import type { DecoderForm } from './generation-form.js';

export interface OpenedDecoder extends OpenedModel {
  /** Absent for a model that is run as it is. */
  readonly form: DecoderForm | undefined;
}

/** The file stays as it is: the form, which the worker makes, points at its weights, which ONNX Runtime reads where they are. */
export async function openDecoder(host: SessionHost, path: string, options: OpenOptions, asStored = false): Promise<OpenedDecoder> {
  // What other providers copy, and what they fuse, is another matter.
  if (asStored || providersOf(options).flat().some((provider) => provider !== 'cpu')) return { ...(await openFile(host, path, options)), form: undefined };
  const file = resolve(path);
  const made = await runJobIn(host, formJob, { file }, { signal: options.signal });
  if (!made) return { ...(await openFile(host, path, options)), form: undefined };
  const { graph, borders, form, ...facts } = made;
  const settings = { ...options, sessionConfig: { ...weightFolder(dirname(file)), ...options.sessionConfig } };
  const source = { kind: 'memory' as const, bytes: graph.buffer, externalData: [] };
  return { ...(await openSource(host, source, { ...facts, model: { graph: borders }, weightsInFiles: true }, settings)), form };
}
