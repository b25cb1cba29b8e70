/** tokenizer.json as the vocabulary of a GGUF file: byte-level BPE, or BPE with a fallback to bytes as SentencePiece has it. */
import { PenjingError } from '@penjing/core';
import { isObject, type JsonObject } from '../hf/folder.js';
import { BYTE_LEVEL_PATTERN, preTokenizerKinds } from '../tokenizer/gguf-pre-tokenizers.js';
import type { GgufPair } from './write-pairs.js';

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const BYTE = 6;

export interface TokenizerFiles {
  readonly tokenizerJson: JsonObject;
  readonly tokenizerConfig?: JsonObject | undefined;
}

/** `rows` is the height of the embedding table: ids without a token get a name. Throws `E_TOKENIZER` for other kinds. */
export function ggufVocabulary({ tokenizerJson, tokenizerConfig = {} }: TokenizerFiles, rows: number): GgufPair[] {
  const model = tokenizerJson['model'];
  if (!isObject(model) || model['type'] !== 'BPE' || !isObject(model['vocab']) || !Array.isArray(model['merges'])) {
    throw wrong(`its model is ${isObject(model) ? String(model['type']) : 'missing'}, only BPE is written`);
  }
  const added = list(tokenizerJson['added_tokens']);
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(rows).fill(USER_DEFINED);
  const place = (text: unknown, id: unknown, type: number): void => {
    if (typeof text !== 'string' || !Number.isInteger(id) || (id as number) < 0) throw wrong(`it gives ${JSON.stringify(text)} the id ${String(id)}`);
    // the head of some models is lower than their vocabulary: such tokens can never be said
    if ((id as number) >= rows) return;
    tokens[id as number] = text;
    types[id as number] = type;
  };
  const byteFallback = model['byte_fallback'] === true;
  for (const [text, id] of Object.entries(model['vocab'])) place(text, id, byteFallback && /^<0x[0-9A-F]{2}>$/.test(text) ? BYTE : NORMAL);
  for (const token of added) place(token['content'], token['id'], token['special'] === true ? CONTROL : USER_DEFINED);
  const unknown = typeof model['unk_token'] === 'string' ? tokens.indexOf(model['unk_token']) : -1;
  if (unknown >= 0) types[unknown] = UNKNOWN;
  const merges = (model['merges'] as readonly unknown[]).map(pair);
  const kind: GgufPair[] = byteFallback
    ? [['tokenizer.ggml.model', 'string', 'llama'], ['tokenizer.ggml.pre', 'string', 'default'], ['tokenizer.ggml.scores', 'f32s', scores(tokens, types, merges)]]
    : [['tokenizer.ggml.model', 'string', 'gpt2'], ['tokenizer.ggml.pre', 'string', preName(tokenizerJson)], ['tokenizer.ggml.merges', 'strings', merges.map((both) => both.join(' '))]];
  const id = (name: string): number => tokens.indexOf(textOf(tokenizerConfig[name]) ?? '\u0000');
  const special = [['bos', id('bos_token')], ['eos', id('eos_token')], ['unknown', unknown], ['padding', id('pad_token')]] as const;
  const template = tokenizerConfig['chat_template'];
  return [
    ...kind,
    ['tokenizer.ggml.tokens', 'strings', tokens],
    ['tokenizer.ggml.token_type', 'i32s', types],
    ...special.flatMap(([name, at]): GgufPair[] => (at < 0 ? [] : [[`tokenizer.ggml.${name}_token_id`, 'u32', at]])),
    ['tokenizer.ggml.add_bos_token', 'bool', around(tokenizerJson, 'before', id('bos_token'), tokens)],
    ['tokenizer.ggml.add_eos_token', 'bool', around(tokenizerJson, 'after', id('eos_token'), tokens)],
    ...(byteFallback ? [['tokenizer.ggml.add_space_prefix', 'bool', prepends(tokenizerJson['normalizer'])] as const] : []),
    ...(typeof template === 'string' ? [['tokenizer.chat_template', 'string', template] as const] : []),
  ];
}

/** llama.cpp joins the pair whose union scores highest: what the first merge makes comes first. */
function scores(tokens: readonly string[], types: readonly number[], merges: readonly (readonly [string, string])[]): number[] {
  const ranks = new Map<string, number>();
  merges.forEach(([left, right], rank) => {
    if (!ranks.has(left + right)) ranks.set(left + right, -rank);
  });
  // What no merge makes must not be joined: a score that is lower than any other.
  return tokens.map((token, id) => (types[id] === NORMAL ? (ranks.get(token) ?? -1e6) : 0));
}

function pair(merge: unknown): readonly [string, string] {
  const both = typeof merge === 'string' ? merge.split(' ') : merge;
  if (Array.isArray(both) && both.length === 2 && both.every((part) => typeof part === 'string')) return both as [string, string];
  throw wrong(`${JSON.stringify(merge)} is no merge`);
}

/** The name of the pre-tokenizer with the same patterns, and if possible the same rule for words that are tokens. */
function preName({ pre_tokenizer: pre, model }: JsonObject): string {
  const steps = isObject(pre) && pre['type'] === 'Sequence' ? list(pre['pretokenizers']) : isObject(pre) ? [pre] : [];
  if (!steps.some((step) => step['type'] === 'ByteLevel')) throw wrong('its pre-tokenizer is none of bytes');
  const wanted = JSON.stringify(steps.flatMap(patternsOf));
  const same = Object.entries(preTokenizerKinds).filter(([, kind]) => JSON.stringify(kind.patterns) === wanted);
  const ignores = isObject(model) && model['ignore_merges'] === true;
  const found = same.find(([, { ignoreMerges = false }]) => ignoreMerges === ignores) ?? same[0];
  if (found) return found[0];
  throw wrong('its pre-tokenizer is none that llama.cpp has a name for');
}

/** Where a step cuts. */
function patternsOf(step: JsonObject): unknown[] {
  switch (step['type']) {
    case 'Split':
      return isObject(step['pattern']) ? [step['pattern']['Regex'] ?? step['pattern']['String']] : [];
    case 'Digits':
      return [step['individual_digits'] === true ? '\\p{N}' : '\\p{N}+'];
    case 'ByteLevel':
      return step['use_regex'] === false ? [] : [BYTE_LEVEL_PATTERN];
    default:
      throw wrong(`its pre-tokenizer has a step ${JSON.stringify(step['type'])}`);
  }
}

/** Whether the template of a single text puts the token before or after it. */
function around({ post_processor: post }: JsonObject, where: 'before' | 'after', id: number, tokens: readonly string[]): boolean {
  const steps = isObject(post) && post['type'] === 'Sequence' ? list(post['processors']) : isObject(post) ? [post] : [];
  const single = list(steps.find((step) => step['type'] === 'TemplateProcessing')?.['single']);
  const item = where === 'before' ? single[0] : single.at(-1);
  const token = isObject(item?.['SpecialToken']) ? item['SpecialToken']['id'] : undefined;
  return id >= 0 && token === tokens[id];
}

function prepends(normalizer: unknown): boolean {
  const steps = isObject(normalizer) && normalizer['type'] === 'Sequence' ? list(normalizer['normalizers']) : isObject(normalizer) ? [normalizer] : [];
  return steps.some((step) => step['type'] === 'Prepend');
}

function textOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  return isObject(token) && typeof token['content'] === 'string' ? token['content'] : undefined;
}

function list(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function wrong(why: string): PenjingError {
  return new PenjingError('E_TOKENIZER', `this tokenizer.json cannot be written into a GGUF file: ${why}`, {
    hint: 'Write another format, or leave the tokenizer out.',
  });
}
