/** What the tokenizer library leaves out of the format, put into its objects: exact charsmaps, and bytes in Unigram models. */
import { PenjingError } from '@penjing/core';
import { readCharsmap } from '@penjing/graph-io';

/** A normalizer of the library: it calls its own `normalize`. */
interface LibraryNormalizer {
  readonly config?: { readonly type?: string; readonly precompiled_charsmap?: unknown };
  readonly normalizers?: readonly (LibraryNormalizer | null)[];
  normalize(text: string): string;
}

interface LibraryModel {
  readonly config: { readonly type?: string; readonly byte_fallback?: boolean; readonly continuing_subword_prefix?: unknown; readonly end_of_word_suffix?: unknown };
  readonly unk_token?: string;
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  encode(tokens: string[]): string[];
}

export interface Completable {
  readonly normalizer: LibraryNormalizer | null;
  readonly model: LibraryModel;
}

/** Throws `E_TOKENIZER` for a charsmap that is none. */
export function completeLibrary({ normalizer, model }: Completable): void {
  if (normalizer) exactCharsmaps(normalizer);
  if (model.config.type === 'Unigram' && model.config.byte_fallback === true) byteFallback(model);
}

/** The library has one approximation of NFKC for all of them. */
function exactCharsmaps(normalizer: LibraryNormalizer): void {
  for (const inner of normalizer.normalizers ?? []) if (inner) exactCharsmaps(inner);
  const { type, precompiled_charsmap: encoded } = normalizer.config ?? {};
  if (type === 'Precompiled' && typeof encoded === 'string' && encoded !== '') normalizer.normalize = readCharsmap(fromBase64(encoded));
}

/** A piece that is in no vocabulary becomes pieces of its bytes, when there are such pieces. */
function byteFallback(model: LibraryModel): void {
  const encoder = new TextEncoder();
  const ids = model.tokens_to_ids;
  const plain = model.encode.bind(model);
  model.encode = (tokens) =>
    plain(tokens).flatMap((token) => {
      if (ids.has(token)) return [token];
      const bytes = Array.from(encoder.encode(token), (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
      return bytes.every((byte) => ids.has(byte)) ? bytes : [token];
    });
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new PenjingError('E_TOKENIZER', 'tokenizer.json: precompiled_charsmap is not base64', { cause });
  }
}
