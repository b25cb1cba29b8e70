/** Draft models of a generator: loaded once, beside the model that they guess for. */
import { PenjingError } from '@penjing/core';
import { locateModel, readLanguageConfig } from '../model-folder.js';
import type { SessionHost } from '../session-host.js';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import type { Speculation } from '../worker/drafts.js';
import { type OpenedDecoder, openDecoder } from './open-decoder.js';

export type DraftModel = NonNullable<Speculation['draft']>;

export class DraftModels {
  readonly #host: SessionHost;
  readonly #tokenizer: Tokenizer;
  readonly #options: Parameters<typeof openDecoder>[2];
  readonly #loaded = new Map<string, Promise<{ readonly model: DraftModel; readonly cleanup: OpenedDecoder['cleanup'] }>>();

  constructor(host: SessionHost, tokenizer: Tokenizer, options: Parameters<typeof openDecoder>[2]) {
    this.#host = host;
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** Throws `E_OPTION` for a model with other tokens, `E_UNSUPPORTED` for one that has no form for generation. */
  async get(path: string): Promise<DraftModel> {
    const loading = this.#loaded.get(path) ?? this.#load(path);
    this.#loaded.set(path, loading);
    // What failed may be put right and asked for again.
    loading.catch(() => this.#loaded.delete(path));
    return (await loading).model;
  }

  async cleanup(): Promise<void> {
    await Promise.allSettled([...this.#loaded.values()].map(async (loading) => (await loading).cleanup()));
  }

  async #load(path: string): Promise<{ readonly model: DraftModel; readonly cleanup: OpenedDecoder['cleanup'] }> {
    const { path: file, folder } = await locateModel(path);
    const [tokenizer, { contextLength }] = await Promise.all([loadTokenizer(folder), readLanguageConfig(folder)]);
    const other = firstDifference(this.#tokenizer, tokenizer);
    if (other !== undefined) {
      throw new PenjingError('E_OPTION', `the draft model ${path} has other tokens: ${other} is ${JSON.stringify(tokenizer.tokenOf(other))} there and ${JSON.stringify(this.#tokenizer.tokenOf(other))} in the model`, {
        hint: 'Take a draft of the same family, or distil one: `penjing distill`.',
      });
    }
    const { handle, form, cleanup } = await openDecoder(this.#host, file, this.#options);
    if (!form) {
      await cleanup();
      throw new PenjingError('E_UNSUPPORTED', `the draft model ${path} cannot take guesses back: its attention is not of the kind that generation rewrites`, { hint: 'Convert it with `penjing convert`, and run it on the CPU.' });
    }
    return { model: { handle, form, context: contextLength ?? tokenizer.maxLength }, cleanup };
  }
}

/** The first token that is not the same in both. */
function firstDifference(one: Tokenizer, other: Tokenizer): number | undefined {
  for (let id = 0; id < Math.max(one.vocabSize, other.vocabSize); id++) if (one.tokenOf(id) !== other.tokenOf(id)) return id;
  return undefined;
}
