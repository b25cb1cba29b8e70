/** What a user names (a folder, a file, a model in memory) as an open session with its name and size. */
import { type Model, PenjingError } from '@penjing/core';
import { type OpenOptions, type OpenedModel, openFile, openModel } from './engine/open.js';
import type { DecoderForm } from './generate/generation-form.js';
import { type DecoderOptions, openDecoder } from './generate/open-decoder.js';
import { type LanguageConfig, locateModel, readLanguageConfig } from './model-folder.js';
import { SessionHost } from './session-host.js';
import { hasLogits, looksLikeDecoder } from './worker/decoder-layout.js';

/** A model folder or ONNX file, one variant of a folder, or a model in memory. */
export type ModelReference = string | { readonly path: string; readonly variant?: string } | Model;

export interface OpenedReference extends OpenedModel {
  /** The file, or the name of the graph. */
  readonly name: string;
  /** Absent for models in memory. */
  readonly folder: string | undefined;
  /** Present for causal language models. */
  readonly language: LanguageConfig | undefined;
  /** Present where `generation` was asked for and the file has the form for it. */
  readonly form?: DecoderForm | undefined;
}

export interface ReferenceOptions extends OpenOptions, Pick<DecoderOptions, 'kvCache'> {
  /** Files of decoders are opened as they generate, not as they are. */
  readonly generation?: boolean;
}

/** Opens models in one worker, runs `body`, and then frees the worker and, after it, the files it had mapped. */
export async function withModels<T>(
  references: readonly ModelReference[],
  options: ReferenceOptions,
  body: (host: SessionHost, models: readonly OpenedReference[]) => Promise<T>,
): Promise<T> {
  options.signal?.throwIfAborted();
  const opened: OpenedReference[] = [];
  const host = new SessionHost();
  try {
    for (const reference of references) opened.push(await openReference(host, reference, options));
    return await body(host, opened);
  } finally {
    await host.release(options.signal, async () => {
      for (const { cleanup } of opened) await cleanup();
    });
  }
}

/** Opens one model in a worker; the caller closes it and runs its `cleanup`. */
export async function openReference(host: SessionHost, reference: ModelReference, options: ReferenceOptions): Promise<OpenedReference> {
  if (options.kvCache && !options.generation) throw new PenjingError('E_OPTION', `a model that is not run as it generates keeps keys and values as it says, not as ${options.kvCache}`, { hint: 'Leave kvCache out.' });
  if (typeof reference === 'object' && 'graph' in reference) {
    if (options.kvCache) throw new PenjingError('E_UNSUPPORTED', `a model in memory keeps keys and values as it says, not as ${options.kvCache}`, { hint: 'Convert it to a folder first: `penjing convert`.' });
    const opened = await openModel(host, reference, options);
    const language = looksLikeDecoder(opened.session.inputs, opened.session.outputs) ? unknownLanguage : undefined;
    return { ...opened, name: reference.graph.name || 'model', folder: undefined, language };
  }
  const { path: given, variant } = typeof reference === 'string' ? { path: reference, variant: undefined } : reference;
  const { path, folder } = await locateModel(given, variant);
  const open = async (): Promise<Omit<OpenedReference, 'name' | 'folder' | 'language'>> => (options.generation ? openDecoder(host, path, options, { kvCache: options.kvCache }) : openFile(host, path, options));
  const [opened, config] = await Promise.all([open(), readLanguageConfig(folder)]);
  const { inputs, outputs } = opened.session;
  const isLanguage = opened.form !== undefined || looksLikeDecoder(inputs, outputs) || (config.causal && hasLogits(inputs, outputs));
  return { ...opened, name: path, folder, language: isLanguage ? config : undefined };
}

/** Of models in memory. */
export const unknownLanguage: LanguageConfig = {
  contextLength: undefined,
  vocabSize: undefined,
  bosToken: undefined,
  endTokens: [],
  causal: true,
};
