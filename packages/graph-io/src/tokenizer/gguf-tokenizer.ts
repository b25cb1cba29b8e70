/** The vocabulary in the metadata of a GGUF file as tokenizer.json and tokenizer_config.json. */
import { PenjingError } from '@penjing/core';
import type { JsonObject } from '../hf/folder.js';
import { tokenizerLimits } from '../limits.js';
import { readCharsmap } from './charsmap.js';
import { VocabularyFields } from './gguf-metadata.js';
import { otherPreTokenizers, preTokenizerKinds } from './gguf-pre-tokenizers.js';
import { checkPieces, type Piece, pieceKind } from './pieces.js';
import { scoredPipeline } from './scored-vocabulary.js';
import { type AddedToken, type Pipeline, sequence, type SpecialToken, type Template, tokenizerJson, type TokenizerJsonFiles } from './tokenizer-json.js';

interface Vocabulary {
  readonly fields: VocabularyFields;
  readonly pieces: readonly Piece[];
  readonly special: Readonly<Record<SpecialName, SpecialToken | undefined>>;
}

/** Keys of the ids of special tokens. The third is spelled so in the format. */
const SPECIAL = {
  bos_token: 'bos_token_id', eos_token: 'eos_token_id', sep_token: 'seperator_token_id', unk_token: 'unknown_token_id', pad_token: 'padding_token_id',
  cls_token: 'cls_token_id', mask_token: 'mask_token_id',
} as const;

type SpecialName = keyof typeof SPECIAL;

interface Kind {
  readonly pipeline: (vocabulary: Vocabulary) => Pipeline;
  /** What texts begin and end with when the file does not say. */
  readonly adds: (vocabulary: Vocabulary) => { readonly bos: boolean; readonly eos: boolean; readonly sep: boolean };
  /** Pairs are typed, as BERT's. */
  readonly typedPairs?: boolean;
  /** Texts of pieces as tokenizer.json has them. */
  readonly text?: (stored: string) => string;
}

/** By `tokenizer.ggml.model`. */
const kinds: Readonly<Record<string, Kind>> = {
  llama: {
    pipeline: ({ fields, pieces, special }) => scoredPipeline({
      pieces, algorithm: 'bpe', unknown: special.unk_token?.id ?? 0, byteFallback: true,
      dummyPrefix: fields.boolean('add_space_prefix') ?? true, removeExtraWhitespaces: fields.boolean('remove_extra_whitespaces') ?? false,
    }),
    adds: () => ({ bos: true, eos: false, sep: false }),
  },
  t5: {
    pipeline: ({ fields, pieces, special }) => {
      const charsmap = fields.numbers('precompiled_charsmap');
      const bytes = charsmap?.length ? Uint8Array.from(charsmap) : undefined;
      if (bytes) readCharsmap(bytes);
      return scoredPipeline({
        pieces, algorithm: 'unigram', unknown: special.unk_token?.id ?? Math.min(2, pieces.length - 1), byteFallback: pieces.some(({ kind }) => kind === 'byte'), charsmap: bytes,
        dummyPrefix: fields.boolean('add_space_prefix') ?? true, removeExtraWhitespaces: fields.boolean('remove_extra_whitespaces') ?? true,
      });
    },
    adds: () => ({ bos: false, eos: true, sep: false }),
  },
  gpt2: {
    pipeline: byteLevel,
    adds: (vocabulary) => ({ bos: preKind(vocabulary).addBos ?? false, eos: false, sep: false }),
  },
  bert: {
    pipeline: wordPiece,
    adds: () => ({ bos: true, eos: false, sep: true }),
    typedPairs: true,
    // llama.cpp marks where words begin, BERT where they go on
    text: (stored) => (stored.startsWith('\u2581') ? stored.slice(1) : /^\[.*\]$/s.test(stored) ? stored : `##${stored}`),
  },
};

/**
 * `metadata` is that of the file: numbers, bigints, booleans, texts, lists and typed arrays. Throws `E_TOKENIZER` naming
 * the key that is missing or wrong, or the kind of vocabulary that is not known.
 */
export function ggufTokenizer(metadata: ReadonlyMap<string, unknown>): TokenizerJsonFiles {
  const fields = new VocabularyFields(metadata);
  const model = fields.text('model');
  if (model === undefined) throw new PenjingError('E_TOKENIZER', 'the file has no vocabulary: there is no tokenizer.ggml.model', { hint: 'Take the tokenizer.json of the original model.' });
  if (!Object.hasOwn(kinds, model)) {
    throw new PenjingError('E_TOKENIZER', `tokenizer.ggml.model ${JSON.stringify(model)} is not supported`, {
      hint: `Supported: ${Object.keys(kinds).join(', ')}. Put the tokenizer.json of the original model beside the file.`,
    });
  }
  const kind = kinds[model]!;
  const pieces = readPieces(fields, kind);
  const token = (name: SpecialName): SpecialToken | undefined => {
    const id = fields.id(SPECIAL[name], pieces.length);
    return id === undefined ? undefined : { id, content: pieces[id]!.text };
  };
  const special = Object.fromEntries(Object.keys(SPECIAL).map((name) => [name, token(name as SpecialName)])) as Vocabulary['special'];
  const vocabulary: Vocabulary = { fields, pieces, special };
  const named = Object.values(special).filter((item) => item !== undefined);
  const added = pieces.flatMap(({ text, kind }, id): AddedToken[] => {
    const own = named.some((item) => item.id === id);
    return own || kind === 'control' || kind === 'user-defined' ? [{ id, content: text, special: own || kind === 'control' }] : [];
  });
  const template = metadata.get('tokenizer.chat_template');
  return {
    tokenizerJson: tokenizerJson(kind.pipeline(vocabulary), added, templateOf(vocabulary, kind)),
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      ...Object.fromEntries(Object.entries(special).flatMap(([name, item]) => (item ? [[name, item.content]] : []))),
      ...(typeof template === 'string' && { chat_template: template }),
    },
  };
}

function readPieces(fields: VocabularyFields, { text = (stored) => stored }: Kind): readonly Piece[] {
  const tokens = fields.texts('tokens');
  if (!tokens) throw new PenjingError('E_TOKENIZER', 'the vocabulary has no tokens: there is no tokenizer.ggml.tokens');
  if (tokens.length > tokenizerLimits.pieces) throw new PenjingError('E_LIMIT', `the vocabulary has ${tokens.length} pieces, more than ${tokenizerLimits.pieces}`);
  const scores = fields.numbers('scores', tokens.length);
  const types = fields.numbers('token_type', tokens.length);
  const pieces = tokens.map((stored, id): Piece => {
    const kind = pieceKind(types?.[id] ?? 1) ?? 'normal';
    // the unused rows of an embedding may have no text
    const own = stored === '' ? `[EMPTY_${id}]` : kind === 'normal' ? text(stored) : stored.replace(/^\u2581(?=\[)/, '');
    return { text: own, score: scores?.[id] ?? 0, kind };
  });
  checkPieces(pieces.map((piece) => piece.text));
  return pieces;
}

function templateOf(vocabulary: Vocabulary, kind: Kind): Template {
  const { fields, special } = vocabulary;
  const adds = kind.adds(vocabulary);
  const wants = (name: 'bos' | 'eos' | 'sep'): boolean => fields.boolean(`add_${name}_token`) ?? adds[name];
  const list = (...tokens: (SpecialToken | undefined)[]): SpecialToken[] => tokens.filter((token) => token !== undefined);
  const before = wants('bos') ? list(special.bos_token ?? special.cls_token) : [];
  const eos = wants('eos') ? list(special.eos_token) : [];
  // a separator ends a text, and is the end token where a file names none
  const sep = wants('sep') ? list(special.sep_token ?? special.eos_token) : [];
  const after = eos.length > 0 ? eos : sep;
  return { before, after, between: kind.typedPairs ? sep : [...after, ...before], ...(kind.typedPairs && { secondType: 1 }) };
}

function preKind({ fields }: Vocabulary): (typeof preTokenizerKinds)[string] {
  const name = fields.text('pre') ?? 'default';
  if (Object.hasOwn(preTokenizerKinds, name)) return preTokenizerKinds[name]!;
  const why = otherPreTokenizers.includes(name) ? 'is a kind whose rules are not known here' : 'is no known kind';
  throw new PenjingError('E_TOKENIZER', `tokenizer.ggml.pre ${JSON.stringify(name)} ${why}`, {
    hint: `Put the tokenizer.json of the original model beside the file. Known: ${Object.keys(preTokenizerKinds).join(', ')}.`,
    details: { pre: name },
  });
}

function byteLevel(vocabulary: Vocabulary): Pipeline {
  const { fields, pieces } = vocabulary;
  const { patterns, ignoreMerges = false, normalizer } = preKind(vocabulary);
  const bytes: JsonObject = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const splits = patterns.map((Regex): JsonObject => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }));
  return {
    normalizer: normalizer ? { type: normalizer } : null,
    pre_tokenizer: sequence.pretokenizers([...splits, bytes]),
    decoder: { ...bytes, use_regex: true },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
      merges: storedMerges(fields, pieces),
    },
  };
}

/** Pairs in order of rank. Those that make no token are left out: no client reads a file that has them. */
function storedMerges(fields: VocabularyFields, pieces: readonly Piece[]): [string, string][] {
  const merges = fields.texts('merges');
  if (!merges) throw new PenjingError('E_TOKENIZER', 'the vocabulary has no merges: there is no tokenizer.ggml.merges');
  if (merges.length > tokenizerLimits.merges) throw new PenjingError('E_LIMIT', `the vocabulary has ${merges.length} merges, more than ${tokenizerLimits.merges}`);
  const known = new Set(pieces.map(({ text }) => text));
  return merges.flatMap((merge): [string, string][] => {
    const space = merge.indexOf(' ', 1);
    if (space < 0) throw new PenjingError('E_TOKENIZER', `tokenizer.ggml.merges has ${JSON.stringify(merge)}, which is no pair`);
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)];
    return known.has(left) && known.has(right) && known.has(left + right) ? [[left, right]] : [];
  });
}

function wordPiece({ fields, pieces, special }: Vocabulary): Pipeline {
  const lowercase = fields.boolean('normalizer.lowercase') ?? true;
  return {
    normalizer: {
      type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: fields.boolean('normalizer.strip_accents') ?? null, lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: {
      type: 'WordPiece', unk_token: special.unk_token?.content ?? '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
    },
  };
}
