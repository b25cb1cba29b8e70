/** A SentencePiece model as tokenizer.json and tokenizer_config.json: the same ids, special tokens as the model family has them. */
import { PenjingError } from '@penjing/core';
import type { JsonObject } from '../hf/folder.js';
import { tokenizerLimits } from '../limits.js';
import type { Piece } from './pieces.js';
import { scoredPipeline } from './scored-vocabulary.js';
import { readSentencePiece, type SentencePieceModel } from './sentencepiece-model.js';
import { addedTokensOf, known, tokenText } from './special-tokens.js';
import { type AddedToken, type Template, tokenizerJson, type TokenizerJsonFiles } from './tokenizer-json.js';

export interface SentencePieceOptions {
  /** tokenizer_config.json of the folder; everything in it stays. */
  readonly tokenizerConfig?: JsonObject;
  /** added_tokens.json of the folder: texts and their ids. */
  readonly addedTokens?: JsonObject;
  /** `model_type` of config.json, which decides what tokenizer_config.json leaves open. */
  readonly modelType?: string;
}

/** How a family of models uses its SentencePiece model. */
interface Family {
  /** Ids in order; those of the SentencePiece model when absent. */
  readonly pieces?: (model: SentencePieceModel, config: JsonObject) => readonly Piece[];
  /** Defaults of the fields of tokenizer_config.json that hold tokens. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly bos?: boolean;
  readonly eos?: boolean;
  /** Two ends between the texts of a pair. */
  readonly doubled?: boolean;
  readonly tokenizerClass: string;
}

const control = (text: string): Piece => ({ text, score: 0, kind: 'control' });

/** 100 sentinels behind the pieces, the last first. */
const t5: Family = {
  pieces: ({ pieces }, config) => {
    const wanted = config['extra_ids'];
    const count = typeof wanted === 'number' && wanted >= 0 && wanted <= 1000 ? Math.floor(wanted) : 100;
    const there = pieces.some(({ text }) => text === '<extra_id_0>');
    return there ? pieces : [...pieces, ...Array.from({ length: count }, (_, i) => control(`<extra_id_${count - 1 - i}>`))];
  },
  tokens: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' },
  eos: true,
  tokenizerClass: 'T5Tokenizer',
};

/** The ids of fairseq: four special tokens of its own, the pieces behind their three, and a mask. */
const fairseq: Family = {
  pieces: ({ pieces }) => [control('<s>'), control('<pad>'), control('</s>'), { ...control('<unk>'), kind: 'unknown' }, ...pieces.slice(3), control('<mask>')],
  tokens: { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>', cls_token: '<s>', sep_token: '</s>', mask_token: '<mask>' },
  bos: true,
  eos: true,
  doubled: true,
  tokenizerClass: 'XLMRobertaTokenizer',
};

const llama: Family = { tokens: {}, bos: true, tokenizerClass: 'LlamaTokenizer' };
const gemma: Family = { tokens: {}, bos: true, tokenizerClass: 'GemmaTokenizer' };

const families: Readonly<Record<string, Family>> = {
  t5, mt5: t5, umt5: t5, 'xlm-roberta': fairseq, 'xlm-roberta-xl': fairseq, llama, mistral: llama, mixtral: llama, phi3: llama, gemma, gemma2: gemma, gemma3: gemma, gemma3_text: gemma,
};
const classes: Readonly<Record<string, Family>> = { T5Tokenizer: t5, XLMRobertaTokenizer: fairseq, LlamaTokenizer: llama, GemmaTokenizer: gemma };

/** Families that neither name: BPE models begin texts with a token, as all of their kind do. */
function familyOf(model: SentencePieceModel, config: JsonObject, modelType: string | undefined): Family {
  const name = typeof config['tokenizer_class'] === 'string' ? config['tokenizer_class'].replace(/Fast$/, '') : '';
  if (Object.hasOwn(classes, name)) return classes[name]!;
  if (modelType !== undefined && Object.hasOwn(families, modelType)) return families[modelType]!;
  return { tokens: {}, bos: model.algorithm === 'bpe', tokenizerClass: 'PreTrainedTokenizerFast' };
}

/**
 * `bytes` are those of `tokenizer.model` or `spiece.model`. Throws `E_TOKENIZER` for a file that is none, or has rules
 * that tokenizer.json cannot express, `E_LIMIT` for one larger than any.
 */
export function sentencePieceTokenizer(bytes: Uint8Array, options: SentencePieceOptions = {}): TokenizerJsonFiles {
  const { tokenizerConfig: config = {}, addedTokens = {}, modelType } = options;
  const model = readSentencePiece(bytes);
  const family = familyOf(model, config, modelType);
  const pieces = [...(family.pieces?.(model, config) ?? model.pieces)];
  const dummyPrefix = model.dummyPrefix && flag(config, 'add_prefix_space', true);
  const added = folderTokens(pieces, config, addedTokens);
  const ids = new Map([...pieces.map(({ text }, id) => [text, id] as const), ...added.map(({ id, content }) => [content, id] as const)]);

  const text = (name: string, own: number | undefined): string | undefined =>
    tokenText(config[name]) ?? family.tokens[name] ?? (family.pieces || own === undefined ? undefined : model.pieces[own]!.text);
  const tokens = {
    bos_token: text('bos_token', model.begin), eos_token: text('eos_token', model.end), unk_token: text('unk_token', model.unknown), pad_token: text('pad_token', model.padding),
    cls_token: text('cls_token', undefined), sep_token: text('sep_token', undefined), mask_token: text('mask_token', undefined),
  };
  const before = flag(config, 'add_bos_token', family.bos) ? known(ids, [tokens.bos_token]) : [];
  const after = flag(config, 'add_eos_token', family.eos) ? known(ids, [tokens.eos_token]) : [];
  const template: Template = { before, after, between: family.doubled ? [...after, ...after] : [...after, ...before] };

  const unknown = ids.get(tokens.unk_token ?? '') ?? model.unknown;
  const pipeline = scoredPipeline({
    ...model, pieces, unknown, dummyPrefix, prefixFirst: config['legacy'] === false && model.algorithm === 'bpe',
  });
  const special = known(ids, Object.values(tokens)).map((token): AddedToken => ({ ...token, special: true }));
  return {
    tokenizerJson: tokenizerJson(pipeline, [...special, ...added], template),
    tokenizerConfig: {
      tokenizer_class: family.tokenizerClass, clean_up_tokenization_spaces: false, ...Object.fromEntries(Object.entries(tokens).filter(([, value]) => value !== undefined)), ...config,
    },
  };
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
