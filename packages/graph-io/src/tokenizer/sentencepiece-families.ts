/** How families of models number the pieces of their SentencePiece model, and the special tokens that they put around texts. */
import { PenjingError } from '@penjing/core';
import type { JsonObject } from '../hf/folder.js';
import { tokenizerLimits } from '../limits.js';
import type { Piece } from './pieces.js';
import type { SentencePieceModel } from './sentencepiece-model.js';
import { tokenText } from './special-tokens.js';
import { replace } from './tokenizer-json.js';

export interface FamilyInput {
  readonly model: SentencePieceModel;
  /** tokenizer_config.json. */
  readonly config: JsonObject;
  /** vocab.json. */
  readonly vocabulary: JsonObject | undefined;
}

/** How a family of models uses its SentencePiece model. */
export interface Family {
  /** Ids in order; those of the SentencePiece model when absent. Throws `E_TOKENIZER` when it needs a file that is not there. */
  readonly pieces?: (input: FamilyInput) => readonly Piece[];
  /** Defaults of the fields of tokenizer_config.json that hold tokens. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly bos?: boolean;
  readonly eos?: boolean;
  /** The field of the token that begins a text, and of that which ends it; `bos_token` and `eos_token` when absent. */
  readonly around?: readonly [before: string, after: string];
  /** Between the texts of a pair: two ends, nothing, or an end with the second text of type 1; the end and the beginning when absent. */
  readonly pairs?: 'doubled' | 'joined' | 'typed';
  /** The token of the language, of `src_lang`: before the text, or behind its end. */
  readonly language?: { readonly usual: string; readonly where: 'before' | 'after'; readonly token?: (code: string) => string };
  /** Steps before those of the SentencePiece model. */
  readonly normalizers?: (input: FamilyInput) => readonly JsonObject[];
  readonly tokenizerClass: string;
}

const control = (text: string): Piece => ({ text, score: 0, kind: 'control' });
const unknown: Piece = { ...control('<unk>'), kind: 'unknown' };

/** 100 sentinels behind the pieces, the last first. */
const t5: Family = {
  pieces: ({ model: { pieces }, config }) => {
    const wanted = config['extra_ids'];
    const count = typeof wanted === 'number' && wanted >= 0 && wanted <= 1000 ? Math.floor(wanted) : 100;
    const there = pieces.some(({ text }) => text === '<extra_id_0>');
    return there ? pieces : [...pieces, ...Array.from({ length: count }, (_, i) => control(`<extra_id_${count - 1 - i}>`))];
  },
  tokens: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' },
  eos: true,
  tokenizerClass: 'T5Tokenizer',
};

const fairseqTokens = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>', cls_token: '<s>', sep_token: '</s>', mask_token: '<mask>' };

/** The ids of fairseq: four special tokens of its own, the pieces behind their three, languages, and a mask. */
const fairseqPieces = ({ pieces }: SentencePieceModel, languages: readonly string[] = []): Piece[] => [
  control('<s>'), control('<pad>'), control('</s>'), unknown, ...pieces.slice(3), ...languages.map(control), control('<mask>'),
];

const fairseq: Family = {
  pieces: ({ model }) => fairseqPieces(model), tokens: fairseqTokens, bos: true, eos: true, pairs: 'doubled', tokenizerClass: 'XLMRobertaTokenizer',
};

/** Its dictionary had an unknown token of its own, so that there are two. */
const camembert: Family = {
  ...fairseq,
  pieces: ({ model: { pieces } }) => [control('<s>NOTUSED'), control('<pad>'), control('</s>NOTUSED'), unknown, control('<unk>NOTUSED'), ...pieces.slice(1), control('<mask>')],
  tokenizerClass: 'CamembertTokenizer',
};

const MBART = 'ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN'.split(' ');
const MBART50 = 'af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI'.split(' ');

/** In the order of special_tokens_map.json, when it has them. */
function languagesOf(config: JsonObject): readonly string[] | undefined {
  const list = config['additional_special_tokens'];
  if (!Array.isArray(list) || list.length === 0 || list.length > tokenizerLimits.languages) return undefined;
  const texts = list.map(tokenText);
  return texts.every((text) => text !== undefined) ? texts.filter((text) => text !== '<mask>') : undefined;
}

const mbart: Family = {
  pieces: ({ model, config }) => fairseqPieces(model, languagesOf(config) ?? MBART),
  tokens: fairseqTokens, eos: true, pairs: 'joined', language: { usual: 'en_XX', where: 'after' }, tokenizerClass: 'MBartTokenizer',
};

const mbart50: Family = {
  ...mbart, pieces: ({ model, config }) => fairseqPieces(model, languagesOf(config) ?? [...MBART, ...MBART50]), language: { usual: 'en_XX', where: 'before' },
  tokenizerClass: 'MBart50Tokenizer',
};

const nllb: Family = {
  ...mbart,
  pieces: ({ model, config }) => {
    const languages = languagesOf(config);
    if (languages) return fairseqPieces(model, languages);
    throw new PenjingError('E_TOKENIZER', 'this tokenizer needs its languages: additional_special_tokens of special_tokens_map.json or tokenizer_config.json', {
      hint: 'Download special_tokens_map.json of the model too.',
    });
  },
  language: { usual: 'eng_Latn', where: 'before' }, tokenizerClass: 'NllbTokenizer',
};

/** Texts in the order of vocab.json, which has pieces that the SentencePiece model does not know: those of the other language. */
function listed({ model: { pieces }, vocabulary }: FamilyInput): Piece[] {
  const entries = Object.entries(vocabulary ?? {});
  if (entries.length === 0) throw new PenjingError('E_TOKENIZER', 'this tokenizer needs vocab.json, which gives its pieces their ids', { hint: 'Download vocab.json of the model too.' });
  if (entries.length > tokenizerLimits.pieces) throw new PenjingError('E_LIMIT', `vocab.json has ${entries.length} pieces, more than ${tokenizerLimits.pieces}`);
  const own = new Map(pieces.map((piece) => [piece.text, piece]));
  const out: (Piece | undefined)[] = new Array<undefined>(entries.length).fill(undefined);
  for (const [text, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= entries.length || out[id]) {
      throw new PenjingError('E_TOKENIZER', `vocab.json gives ${JSON.stringify(text)} the id ${JSON.stringify(id)}: ids must be 0 to ${entries.length - 1}, each once`);
    }
    const special = /^(<(s|pad|unk)>|<\/s>|>>.*<<)$/.test(text);
    out[id] = special ? { ...control(text), kind: text === '<unk>' ? 'unknown' : 'control' } : { text, kind: 'normal', score: own.get(text)?.kind === 'normal' ? own.get(text)!.score : NEVER };
  }
  return out as Piece[];
}

/** Worse than any way to read a text by pieces of its own language. */
const NEVER = -1e6;

/** A letter that only the other language has is unknown in this one: it becomes one that no vocabulary has. */
function foreignLetters(input: FamilyInput): JsonObject[] {
  const letters = (pieces: readonly Piece[]): Set<string> => new Set(pieces.filter(({ kind }) => kind === 'normal').flatMap(({ text }) => Array.from(text)));
  const own = letters(input.model.pieces);
  const foreign = [...letters(listed(input))].filter((letter) => !own.has(letter));
  return foreign.length === 0 ? [] : [replace({ Regex: `[${foreign.map((letter) => letter.replace(/[\\\]^[&~-]/, '\\$&')).join('')}]` }, '\u{10fffd}')];
}

const marian: Family = {
  pieces: listed,
  tokens: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' },
  eos: true,
  pairs: 'joined',
  normalizers: foreignLetters,
  tokenizerClass: 'MarianTokenizer',
};

const m2m100: Family = {
  ...mbart,
  pieces: (input) => {
    const pieces = listed(input);
    const languages = languagesOf(input.config) ?? [];
    return [...pieces, ...languages.filter((text) => !pieces.some((piece) => piece.text === text)).map(control)];
  },
  tokens: { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>', sep_token: '</s>' },
  language: { usual: 'en', where: 'before', token: (code) => `__${code}__` },
  tokenizerClass: 'M2M100Tokenizer',
};

/** 103 tokens of the pretraining before the pieces, two of which stand for masks. */
const pegasus: Family = {
  pieces: ({ model: { pieces } }) => [
    control('<pad>'), control('</s>'), control('<mask_1>'), control('<mask_2>'), ...Array.from({ length: 101 }, (_, i) => control(`<unk_${i + 2}>`)), ...pieces.slice(2),
  ],
  tokens: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>', mask_token: '<mask_2>' },
  eos: true,
  pairs: 'joined',
  tokenizerClass: 'PegasusTokenizer',
};

const classifier = { bos: true, eos: true, around: ['cls_token', 'sep_token'], pairs: 'typed' } as const;

/** No accents and no capitals; a number and a comma are never one piece. */
const albert: Family = {
  ...classifier,
  pieces: ({ model: { pieces } }) => pieces.map((piece) => (/\d,$/.test(piece.text) ? { ...piece, score: piece.score - 100 } : piece)),
  tokens: { bos_token: '[CLS]', eos_token: '[SEP]', unk_token: '<unk>', pad_token: '<pad>', cls_token: '[CLS]', sep_token: '[SEP]', mask_token: '[MASK]' },
  normalizers: ({ config }) => [
    replace({ String: '``' }, '"'), replace({ String: "''" }, '"'),
    ...(config['keep_accents'] === true ? [] : [{ type: 'NFKD' }, { type: 'StripAccents' }]),
    ...(config['do_lower_case'] === false ? [] : [{ type: 'Lowercase' }]),
  ],
  tokenizerClass: 'AlbertTokenizer',
};

const deberta: Family = {
  ...classifier,
  pieces: ({ model: { pieces } }) => (pieces.some(({ text }) => text === '[MASK]') ? pieces : [...pieces, control('[MASK]')]),
  tokens: { bos_token: '[CLS]', eos_token: '[SEP]', unk_token: '[UNK]', pad_token: '[PAD]', cls_token: '[CLS]', sep_token: '[SEP]', mask_token: '[MASK]' },
  normalizers: ({ config }) => (config['do_lower_case'] === true ? [{ type: 'Lowercase' }] : []),
  tokenizerClass: 'DebertaV2Tokenizer',
};

const llama: Family = { tokens: {}, bos: true, tokenizerClass: 'LlamaTokenizer' };
const gemma: Family = { tokens: {}, bos: true, tokenizerClass: 'GemmaTokenizer' };

const byType: Readonly<Record<string, Family>> = {
  t5, mt5: t5, umt5: t5, 'xlm-roberta': fairseq, 'xlm-roberta-xl': fairseq, camembert, mbart, m2m_100: nllb, marian, pegasus, albert, 'deberta-v2': deberta,
  llama, mistral: llama, mixtral: llama, phi3: llama, gemma, gemma2: gemma, gemma3: gemma, gemma3_text: gemma,
};

const byClass: Readonly<Record<string, Family>> = Object.fromEntries(
  [t5, fairseq, camembert, mbart, mbart50, nllb, marian, m2m100, pegasus, albert, deberta, llama, gemma].map((family) => [family.tokenizerClass, family]),
);

/** Families that neither class nor type name: BPE models begin texts with a token, as all of their kind do. */
export function familyOf({ model, config, vocabulary }: FamilyInput, modelType: string | undefined): Family {
  const name = typeof config['tokenizer_class'] === 'string' ? config['tokenizer_class'].replace(/Fast$/, '') : '';
  if (Object.hasOwn(byClass, name)) return byClass[name]!;
  if (modelType === 'm2m_100' && vocabulary) return m2m100;
  if (modelType !== undefined && Object.hasOwn(byType, modelType)) return byType[modelType]!;
  return { tokens: {}, bos: model.algorithm === 'bpe', tokenizerClass: 'PreTrainedTokenizerFast' };
}
