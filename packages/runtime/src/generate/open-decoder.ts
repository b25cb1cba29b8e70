/** Opens a language model for generation: in the form for it where it has one. */
import { dirname, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import { textTokensJob } from '../compare/text-tokens-job.js';
import { weightFolder } from '../engine/model-source.js';
import { type OpenedModel, openFile, type OpenOptions, openSource } from '../engine/open.js';
import { providersOf } from '../engine/settings.js';
import { locateModel, readLanguageConfig } from '../model-folder.js';
import type { SessionHost } from '../session-host.js';
import { runJobIn } from '../tasks/run-job-in.js';
import { formJob } from './form-job.js';
import type { DecoderForm } from './generation-form.js';
import { SAMPLE_TEXT, SAMPLE_TOKENS } from './sample-text.js';

export interface OpenedDecoder extends OpenedModel {
  /** Absent for a model that is run as it is. */
  readonly form: DecoderForm | undefined;
}

export interface DecoderOptions {
  /** As the file has it. */
  readonly asStored?: boolean | undefined;
  /** Keys and values in bytes; as the model has them when absent. */
  readonly kvCache?: 'int8' | undefined;
}

/**
 * The file stays as it is: the form, which the worker makes, points at its weights, which ONNX Runtime reads where they are.
 * Throws `E_UNSUPPORTED` for `kvCache` where there is no form, `E_OPTION` for it beside `asStored`.
 */
export async function openDecoder(host: SessionHost, path: string, options: OpenOptions, { asStored = false, kvCache }: DecoderOptions = {}): Promise<OpenedDecoder> {
  if (asStored && kvCache) throw new PenjingError('E_OPTION', 'a model that is run as it is stored keeps keys and values as it says', { hint: 'Give kvCache or asStored.' });
  // What other providers copy, and what they fuse, is another matter.
  const onlyCpu = providersOf(options).flat().every((provider) => provider === 'cpu');
  const file = resolve(path);
  const made = asStored || !onlyCpu ? undefined : await runJobIn(host, formJob, { file, int8Cache: kvCache === 'int8' }, { signal: options.signal });
  if (!made && kvCache) throw new PenjingError('E_UNSUPPORTED', `${path} has no form for generation whose keys and values could be ${kvCache}`, { hint: 'Leave kvCache out, or convert the model with `penjing convert`, and run it on the CPU.' });
  if (!made) return { ...(await openFile(host, path, options)), form: undefined };
  const { graph, borders, form, ...facts } = made;
  const settings = { ...options, sessionConfig: { ...weightFolder(dirname(file)), ...options.sessionConfig } };
  const source = { kind: 'memory' as const, bytes: graph.buffer, externalData: [] };
  const opened = await openSource(host, source, { ...facts, model: { graph: borders }, weightsInFiles: true }, settings);
  if (form.steps !== undefined) await fit(host, opened.handle, form, file, options);
  return { ...opened, form };
}

/** How large keys and values become is seen on a text of ours, so that a model opens with the same steps wherever it is opened. */
async function fit(host: SessionHost, handle: number, form: DecoderForm, file: string, { signal }: OpenOptions): Promise<void> {
  const { folder } = await locateModel(file);
  const [tokens, { contextLength = SAMPLE_TOKENS }] = await Promise.all([runJobIn(host, textTokensJob, { folder, text: SAMPLE_TEXT }, { signal }), readLanguageConfig(folder)]);
  await host.call('fitCache', { handle, form, tokens: tokens.subarray(0, Math.min(contextLength, SAMPLE_TOKENS)) }, { ...(signal && { signal }) });
}
