/** A model that embeds texts; its graph can be run with tensors too. */
import { type Executor, isPenjingError, PenjingError } from '@penjing/core';
import { loadEmbedder } from '@penjing/runtime';
import type { KindOpener, OpenedKind } from '../model-kind.js';
import { inferWith, openExecutor } from './tensors.js';

export const openEmbedding: KindOpener = async ({ file, folder }, settings): Promise<OpenedKind> => {
  const { threads, device, variant, thread, signal } = settings;
  const embedder = await loadEmbedder(folder, { variant, thread, signal, ...(threads !== undefined && { threads }), ...(device !== undefined && { device }) });
  // A second session, which few ask for: opened with the first request for tensors.
  let executor: Promise<Executor> | undefined;
  return {
    handlers: {
      async embed({ texts }, { signal: cancelled }) {
        const embeddings = await embedder.embed(texts, { signal: cancelled }).catch((error: unknown) => {
          throw tooLong(error) ?? error;
        });
        return { embeddings, tokens: embedder.tokenizer.encodeInputs(texts).reduce((sum, { ids }) => sum + ids.length, 0) };
      },
      infer: inferWith(() => {
        executor ??= openExecutor(file, { ...settings, signal: new AbortController().signal });
        executor.catch(() => (executor = undefined));
        return executor;
      }),
    },
    contextLength: embedder.maxLength,
    async close() {
      const opened = await executor?.catch(() => undefined);
      await Promise.all([embedder[Symbol.asyncDispose](), opened?.[Symbol.asyncDispose]()]);
    },
  };
};

/** Clients tell a text that is too long from one that is wrong. */
function tooLong(error: unknown): PenjingError | undefined {
  if (!isPenjingError(error) || typeof error.details['maxLength'] !== 'number') return undefined;
  return new PenjingError('E_CONTEXT', error.message, { hint: 'Cut it: nothing is cut silently.', details: error.details });
}
