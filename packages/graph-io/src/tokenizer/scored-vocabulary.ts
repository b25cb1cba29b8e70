/** A vocabulary of SentencePiece, pieces with scores, as the steps and the model of a tokenizer.json. */
import type { JsonObject } from '../hf/folder.js';
import { mergesOf } from './merges.js';
import type { Piece } from './pieces.js';
import { type Pipeline, replace, sequence } from './tokenizer-json.js';

export interface ScoredVocabulary {
  readonly pieces: readonly Piece[];
  readonly algorithm: 'bpe' | 'unigram';
  /** Id of the unknown piece. */
  readonly unknown: number;
  /** Characters without a piece become pieces of their bytes. */
  readonly byteFallback: boolean;
  /** A space before every text. */
  readonly dummyPrefix: boolean;
  /** One space where there are several, none at the ends. */
  readonly removeExtraWhitespaces: boolean;
  /** Replacements of the normalizer, compiled by SentencePiece. */
  readonly charsmap?: Uint8Array | undefined;
  /** Steps before the normalizer's own. */
  readonly before?: readonly JsonObject[];
  /** The prefix only before the first text between special tokens, as transformers does when `legacy` is false. */
  readonly prefixFirst?: boolean;
}

const SPACE = '\u2581';

export function scoredPipeline(vocabulary: ScoredVocabulary): Pipeline {
  const { charsmap, removeExtraWhitespaces, dummyPrefix } = vocabulary;
  // as SentencePiece does, where a symbol alone is normalized as it is in a text
  const normalizedSymbols = !charsmap && !removeExtraWhitespaces && !dummyPrefix;
  return { ...steps(vocabulary), decoder: decoder(vocabulary), model: model(vocabulary), normalizedSymbols };
}

function model({ pieces, algorithm, unknown, byteFallback }: ScoredVocabulary): JsonObject {
  if (algorithm === 'unigram') {
    return { type: 'Unigram', unk_id: unknown, vocab: pieces.map(({ text, score }) => [text, score]), byte_fallback: byteFallback };
  }
  return {
    type: 'BPE',
    dropout: null,
    unk_token: pieces[unknown]!.text,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: byteFallback,
    ignore_merges: false,
    vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
    merges: mergesOf(pieces),
  };
}

/**
 * Where spaces at the ends are kept, the prefix comes before whatever the text begins with: two spaces before a text
 * that begins with one. Metaspace adds none there, so it serves only where such spaces are gone already.
 */
function steps(vocabulary: ScoredVocabulary): Pick<Pipeline, 'normalizer' | 'pre_tokenizer'> {
  const { charsmap, removeExtraWhitespaces, dummyPrefix, before = [], prefixFirst = false } = vocabulary;
  const normalizers: JsonObject[] = [...before];
  if (charsmap) normalizers.push({ type: 'Precompiled', precompiled_charsmap: base64(charsmap) });
  if (removeExtraWhitespaces) {
    normalizers.push(replace({ Regex: ' {2,}' }, ' '), replace({ Regex: `\\A +|[ ${SPACE}]+\\z` }, ''));
    // Metaspace takes a text that begins with its mark for one that has its prefix
    if (dummyPrefix) normalizers.push(replace({ Regex: `\\A${SPACE}` }, ` ${SPACE}`));
  }
  if (removeExtraWhitespaces || (dummyPrefix && prefixFirst)) {
    const scheme = dummyPrefix ? (prefixFirst ? 'first' : 'always') : 'never';
    return { normalizer: sequence.normalizers(normalizers), pre_tokenizer: metaspace(scheme, vocabulary) };
  }
  if (dummyPrefix) normalizers.push({ type: 'Prepend', prepend: SPACE });
  normalizers.push(replace({ String: ' ' }, SPACE));
  return { normalizer: sequence.normalizers(normalizers), pre_tokenizer: null };
}

function decoder(vocabulary: ScoredVocabulary): JsonObject {
  const { byteFallback, dummyPrefix, algorithm } = vocabulary;
  if (!byteFallback && algorithm === 'unigram') return metaspace(dummyPrefix ? 'always' : 'never', vocabulary);
  const decoders: JsonObject[] = [replace({ String: SPACE }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }];
  if (dummyPrefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return { type: 'Sequence', decoders };
}

function metaspace(scheme: 'always' | 'first' | 'never', { algorithm, pieces }: ScoredVocabulary): JsonObject {
  // pieces that span words, or are several spaces, would never be found in single words
  const words = algorithm === 'unigram' && !pieces.some(({ text, kind }) => kind !== 'control' && text.indexOf(SPACE, 1) > 0);
  return { type: 'Metaspace', replacement: SPACE, prepend_scheme: scheme, split: words };
}

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
