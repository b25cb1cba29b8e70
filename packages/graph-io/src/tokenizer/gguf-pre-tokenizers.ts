/** How each kind of `tokenizer.ggml.pre` cuts text before byte-level BPE: the patterns of the published tokenizer.json files. */

export interface PreTokenizerKind {
  /** Each cuts what the ones before left; what a pattern does not match stays in one piece. */
  readonly patterns: readonly string[];
  /** Words that are tokens are not built of merges. */
  readonly ignoreMerges?: boolean;
  /** Whether texts begin with the token of their beginning when the file does not say. */
  readonly addBos?: boolean;
  readonly normalizer?: 'NFC';
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
/** GPT-4's, with numbers of up to `digits`. */
const gpt4 = (digits: string): string => `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
/** GPT-4o's: words begin where capitals do. */
const gpt4o = (end: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${end}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${end}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
const PUNCTUATED = ' ?[^(\\s|.,!?…。，、।۔،)]+';
const DEEPSEEK_WORDS =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|' + SPACES;
/** Cased letters; those written as escapes have a twin of the same look, which some editors put in their place. */
const DEEPSEEK_LETTERS =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ'
  + 'ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';

const gpt2: PreTokenizerKind = { patterns: [GPT2] };
const digitsFirst: PreTokenizerKind = { patterns: ['\\p{N}', GPT2] };
const llama3: PreTokenizerKind = { patterns: [gpt4('\\p{N}{1,3}')], ignoreMerges: true, addBos: true };
const chatglm: PreTokenizerKind = { patterns: [gpt4('\\p{N}{1,3}')] };
const qwen2: PreTokenizerKind = { patterns: [gpt4('\\p{N}')], normalizer: 'NFC' };
const bloom: PreTokenizerKind = { patterns: [PUNCTUATED] };
const deepseekV3: PreTokenizerKind = { patterns: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', DEEPSEEK_WORDS] };
const bailingmoe: PreTokenizerKind = {
  patterns: ["'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"],
};
const o200k: PreTokenizerKind = { patterns: [gpt4o(`${CONTRACTIONS}?`, '\\p{N}{1,3}')] };

export const preTokenizerKinds: Readonly<Record<string, PreTokenizerKind>> = {
  default: { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'] },
  'gpt-2': gpt2, 'phi-2': gpt2, mpt: gpt2, olmo: gpt2, jais: gpt2, trillion: gpt2, 'granite-docling': gpt2, gigachat: gpt2, mellum: gpt2, exaone4: gpt2,
  'modern-bert': gpt2, 'jina-es': gpt2, 'jina-de': gpt2, 'jina-v1-en': gpt2, 'jina-v2-es': gpt2, 'jina-v2-de': gpt2, 'jina-v2-code': gpt2, 'roberta-bpe': gpt2,
  'a.x-4.0': gpt2,
  starcoder: digitsFirst, refact: digitsFirst, 'command-r': digitsFirst, smollm: digitsFirst, codeshell: digitsFirst, exaone: digitsFirst, 'minerva-7b': digitsFirst,
  falcon: { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'] },
  'llama-bpe': llama3, llama3: llama3, 'llama-v3': llama3, falcon3: llama3, 'falcon-h1': llama3, pixtral: llama3, 'midm-2.0': llama3, lfm2: llama3, 'jina-v5-nano': llama3,
  dbrx: chatglm, 'smaug-bpe': chatglm, glm4: chatglm, 'chatglm-bpe': chatglm,
  qwen2, 'deepseek-r1-qwen': qwen2, kormo: qwen2, f2llmv2: qwen2, megrez: qwen2, hunyuan: qwen2, 'solar-open': qwen2, 'grok-2': qwen2,
  stablelm2: { patterns: [gpt4('\\p{N}')] },
  qwen35: {
    patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`],
    normalizer: 'NFC',
  },
  'deepseek-llm': { patterns: ['[\\r\\n]', `\\s?[${DEEPSEEK_LETTERS}]+`, '\\s?[!-/:-~！-／：-～‘-‟　-。]+', '\\s+$', '[一-龥ࠀ-一가-퟿]+', '\\p{N}+'] },
  'deepseek-coder': { patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'] },
  'deepseek-v3': deepseekV3, 'hunyuan-dense': deepseekV3, 'joyai-llm': deepseekV3,
  'poro-chat': bloom, bloom, 'gpt3-finnish': bloom, viking: { patterns: [PUNCTUATED, '\\p{N}'] },
  tekken: { patterns: [gpt4o('', '\\p{N}')], ignoreMerges: true, addBos: true },
  'gpt-4o': o200k, llama4: o200k, kanana2: o200k, talkie: o200k, 'minimax-m2': o200k,
  bailingmoe, bailingmoe2: bailingmoe, 'llada-moe': bailingmoe,
  superbpe: { patterns: ['\\p{N}+', '(?=(?:\\d{3})+(?!\\d))'] },
  'seed-coder': { patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`] },
};

/** The pattern of byte-level BPE where a tokenizer.json names none. */
export const BYTE_LEVEL_PATTERN = GPT2;

/** What llama.cpp knows besides, by rules that are not known here. */
export const otherPreTokenizers: readonly string[] = [
  'minicpm5', 'youtu', 'jais-2', 'gemma4', 'granite-embed-multi-97m', 'granite-embed-multi-311m', 'sarvam-moe', 'whitespace', 'exaone-moe', 'chameleon', 'tiny_aya',
  'cohere2moe', 'kimi-k2', 'afmoe', 'laguna', 'mellum2', 'k2-horizon',
];
