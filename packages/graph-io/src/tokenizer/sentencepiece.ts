/** A SentencePiece model as tokenizer.json and tokenizer_config.json: the same ids, special tokens as the model family has them. */
import { PenjingError } from '@penjing/core';
import type { JsonObject } from '../hf/folder.js';
import { tokenizerLimits } from '../limits.js';
import type { Piece } from './pieces.js';
import { scoredPipeline } from './scored-vocabulary.js';
import { type Family, familyOf } from './sentencepiece-families.js';
import { readSentencePiece } from './sentencepiece-model.js';
import { addedTokensOf, known, tokenText } from './special-tokens.js';
import { type AddedToken, type SpecialToken, type Template, tokenizerJson, type TokenizerJsonFiles } from './tokenizer-json.js';

export interface SentencePieceOptions {
  /** tokenizer_config.json of the folder; everything in it stays. */
  readonly tokenizerConfig?: JsonObject;
  /** added_tokens.json of the folder: texts and their ids. */
  readonly addedTokens?: JsonObject;
  /** vocab.json of the folder, where ids stand there (Marian, M2M100). */
  readonly vocabulary?: JsonObject;
  /** `model_type` of config.json, which decides what tokenizer_config.json leaves open. */
  readonly modelType?: string;
}

/**
 * `bytes` are those of `tokenizer.model` or `spiece.model`. Throws `E_TOKENIZER` for a file that is none, or has rules
 * that tokenizer.json cannot express, `E_LIMIT` for one larger than any.
 */
export function sentencePieceTokenizer(bytes: Uint8Array, options: SentencePieceOptions = {}): TokenizerJsonFiles {
  const { tokenizerConfig: config = {}, addedTokens = {}, modelType, vocabulary } = options;
  const model = readSentencePiece(bytes);
  const input = { model, config, vocabulary };
  const family = familyOf(input, modelType);
  const pieces = [...(family.pieces?.(input) ?? model.pieces)];
  const dummyPrefix = model.dummyPrefix && flag(config, 'add_prefix_space', true);
  const added = folderTokens(pieces, config, addedTokens);
  const ids = new Map([...pieces.map(({ text }, id) => [text, id] as const), ...added.map(({ id, content }) => [content, id] as const)]);

  const text = (name: string, own: number | undefined): string | undefined =>
    tokenText(config[name]) ?? family.tokens[name] ?? (family.pieces || own === undefined ? undefined : model.pieces[own]!.text);
  const tokens = {
    bos_token: text('bos_token', model.begin), eos_token: text('eos_token', model.end), unk_token: text('unk_token', model.unknown), pad_token: text('pad_token', model.padding),
    cls_token: text('cls_token', undefined), sep_token: text('sep_token', undefined), mask_token: text('mask_token', undefined),
  };
  const [first, last] = family.around ?? ['bos_token', 'eos_token'];
  const bos = flag(config, 'add_bos_token', family.bos) ? known(ids, [tokens[first as keyof typeof tokens]]) : [];
  const eos = flag(config, 'add_eos_token', family.eos) ? known(ids, [tokens[last as keyof typeof tokens]]) : [];
  const template = templateOf(family, { bos, eos, language: languageToken(family, config, ids) });

  const unknown = ids.get(tokens.unk_token ?? '') ?? model.unknown;
  const pipeline = scoredPipeline({
    ...model, pieces, unknown, dummyPrefix, before: family.normalizers?.(input) ?? [], prefixFirst: config['legacy'] === false && model.algorithm === 'bpe',
  });
  const special = known(ids, Object.values(tokens)).map((token): AddedToken => ({ ...token, special: true }));
  return {
    tokenizerJson: tokenizerJson(pipeline, [...special, ...added], template),
    tokenizerConfig: {
      tokenizer_class: family.tokenizerClass, clean_up_tokenization_spaces: false, ...Object.fromEntries(Object.entries(tokens).filter(([, value]) => value !== undefined)), ...config,
    },
  };
}

interface Ends {
  readonly bos: readonly SpecialToken[];
  readonly eos: readonly SpecialToken[];
  readonly language: readonly SpecialToken[];
}

function templateOf({ language: place, pairs }: Family, { bos, eos, language }: Ends): Template {
  const before = place?.where === 'before' ? language : bos;
  const after = place?.where === 'after' ? [...eos, ...language] : eos;
  switch (pairs) {
    case 'doubled':
      return { before, after, between: [...after, ...after] };
    case 'joined':
      return { before, after, between: [] };
    case 'typed':
      return { before, after, between: after, secondType: 1 };
    default:
      return { before, after, between: [...after, ...before] };
  }
}

/** Throws `E_TOKENIZER` for a language that the vocabulary has no token for. */
function languageToken({ language }: Family, config: JsonObject, ids: ReadonlyMap<string, number>): readonly SpecialToken[] {
  if (!language) return [];
  const given = config['src_lang'];
  const code = typeof given === 'string' ? given : language.usual;
  const found = known(ids, [language.token?.(code) ?? code]);
  // a model of few languages may not have the usual one
  if (found.length > 0 || typeof given !== 'string') return found;
  throw new PenjingError('E_TOKENIZER', `src_lang ${JSON.stringify(code)} of tokenizer_config.json is no token of the vocabulary`);
}

function flag(config: JsonObject, name: string, fallback = false): boolean {
  return typeof config[name] === 'boolean' ? config[name] : fallback;
}

/** Control and user-defined pieces, and what the folder adds; pieces whose text an added token changes are renamed. */
function folderTokens(pieces: Piece[], config: JsonObject, addedTokens: JsonObject): AddedToken[] {
  const tokens = new Map<number, AddedToken>();
  for (const [id, { text, kind }] of pieces.entries()) {
    if (kind === 'control' || kind === 'user-defined') tokens.set(id, { id, content: text, special: kind === 'control' });
  }
  const limit = tokenizerLimits.pieces;
  for (const [content, id] of Object.entries(addedTokens)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= limit) throw new PenjingError('E_TOKENIZER', `added_tokens.json gives ${JSON.stringify(content)} no id`);
    if (!tokens.has(id)) tokens.set(id, { id, content, special: false });
  }
  for (const token of addedTokensOf(config, limit)) tokens.set(token.id, token);
  for (const { id, content } of tokens.values()) {
    const piece = pieces[id];
    if (piece && piece.text !== content) pieces[id] = { ...piece, text: content };
  }
  return [...tokens.values()];
}
