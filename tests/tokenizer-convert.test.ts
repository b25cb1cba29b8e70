/** SentencePiece models as tokenizer.json: the ids that SentencePiece itself gave a thousand texts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sentencePieceTokenizer, type SentencePieceOptions } from '@penjing/graph-io';
import type { Tokenizer } from '@penjing/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readSentencePiece } from '../packages/graph-io/src/tokenizer/sentencepiece-model.js';
import { createTokenizer } from '../packages/runtime/src/tokenize/tokenizer.js';
import { testData } from './tools/test-data.js';

const fixtures = join(import.meta.dirname, 'fixtures', 'tokenizers');
const recorded = <T>(name: string): T => JSON.parse(gunzipSync(readFileSync(join(fixtures, `${name}.json.gz`))).toString()) as T;
const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const texts = recorded<string[]>('texts');

function open(path: string, options: SentencePieceOptions): Tokenizer {
  const { tokenizerJson, tokenizerConfig } = sentencePieceTokenizer(bytes(path), options);
  return createTokenizer({ tokenizer: tokenizerJson, config: tokenizerConfig });
}

/** Texts whose ids differ, with both; `own` turns an id of SentencePiece into one of the model family. */
function differences(tokenizer: Tokenizer, name: string, own: (id: number) => number = (id) => id, skipped?: RegExp): unknown[] {
  const wanted = recorded<number[][]>(`${name}.ids`);
  expect([texts.length, wanted.length]).toEqual([1000, 1000]);
  return texts.flatMap((text, i) => {
    if (skipped?.test(text)) return [];
    const [ids, want] = [tokenizer.encode(text, { specialTokens: false }), wanted[i]!.map(own)];
    return ids.join() === want.join() ? [] : [{ text, ids, want }];
  });
}

const fairseq = (id: number): number => [3, 0, 2][id] ?? id + 1;

test.each([
  ['llama', [1, '…']],
  ['gemma', [2, '…']],
  ['bpe', [1, '…']],
  ['phrases', ['…']],
  ['t5', ['…', 1]],
  ['xlm-roberta', [0, '…', 2]],
] as const)('%s: a thousand texts, and the special tokens around them', (name, around) => {
  const tokenizer = open(join(fixtures, `${name}.model`), { modelType: name });
  expect(differences(tokenizer, name, name === 'xlm-roberta' ? fairseq : undefined)).toEqual([]);
  const inner = tokenizer.encode('a b', { specialTokens: false });
  expect(tokenizer.encode('a b')).toEqual(around.flatMap((id) => (id === '…' ? inner : [id])));
  expect(tokenizer.decode(tokenizer.encode('the small tree'))).toBe('the small tree');
});

/** Pieces of each family in the numbering that transformers 5.23 gives them, and its special tokens, by models that have the same pieces. */
const XLMR_PIECES = 423;
const families: readonly (readonly [name: string, model: string, options: SentencePieceOptions, own: (id: number) => number, single: readonly (number | '…')[], pair: readonly (number | 'a' | 'b')[]])[] = [
  ['albert', 'albert', {}, (id) => id, [2, '…', 3], [2, 'a', 3, 'b', 3]],
  ['deberta-v2', 'deberta-v2', {}, (id) => id, [1, '…', 2], [1, 'a', 2, 'b', 2]],
  ['camembert', 'xlm-roberta', {}, (id) => (id === 0 ? 3 : id + 4), [5, '…', 6], [5, 'a', 6, 6, 'b', 6]],
  ['mbart', 'xlm-roberta', {}, fairseq, ['…', 2, XLMR_PIECES + 4], ['a', 'b', 2, XLMR_PIECES + 4]],
  ['mbart', 'xlm-roberta', { tokenizerConfig: { tokenizer_class: 'MBart50Tokenizer', src_lang: 'de_DE' } }, fairseq, [XLMR_PIECES + 3, '…', 2], [XLMR_PIECES + 3, 'a', 'b', 2]],
  ['m2m_100', 'xlm-roberta', { tokenizerConfig: { tokenizer_class: 'NllbTokenizer', additional_special_tokens: ['ace_Arab', 'eng_Latn'] } }, fairseq, [XLMR_PIECES + 2, '…', 2], [XLMR_PIECES + 2, 'a', 'b', 2]],
  ['pegasus', 't5', {}, (id) => (id < 2 ? id : id + 103), ['…', 1], ['a', 'b', 1]],
];

test.each(families)('%s, pieces of %s: a thousand texts, and the special tokens around one and two', (name, model, options, own, single, pair) => {
  const path = join(fixtures, `${model}.model`);
  const tokenizer = open(path, { modelType: name, ...options });
  // texts that spell a special token are read as it; JavaScript knows two small letters of Σ, the library of Python one
  expect(differences(tokenizer, model, own, name === 'albert' ? /\[(PAD|CLS|SEP|UNK|MASK)\]|Σ/ : /\[(PAD|CLS|SEP|UNK|MASK)\]/)).toEqual([]);
  const inner = tokenizer.encode('a b', { specialTokens: false });
  expect(tokenizer.encode('a b')).toEqual(single.flatMap((id) => (id === '…' ? inner : [id])));
  const { tokenizerJson } = sentencePieceTokenizer(bytes(path), { modelType: name, ...options });
  const template = (tokenizerJson['post_processor'] as { pair: readonly { SpecialToken?: { id: string }; Sequence?: { id: string } }[] }).pair;
  expect(template.map(({ SpecialToken: token, Sequence: text }) => (token ? tokenizer.idOf(token.id) : text!.id.toLowerCase()))).toEqual(pair);
  expect(tokenizer.decode(tokenizer.encode('the small tree'))).toBe('the small tree');
});

describe('ids of vocab.json', () => {
  const model = bytes(join(fixtures, 'xlm-roberta.model'));
  const { pieces } = readSentencePiece(model);
  /** Backwards, with two pieces of another language, one of which is spelled in letters that the model does not know. */
  const texts = ['</s>', '<unk>', ...pieces.slice(3).map(({ text }) => text).reverse(), '\u2581ხე', '\u2581thetree', '>>fra<<', '<pad>'];
  const vocabulary = Object.fromEntries(texts.map((text, id) => [text, id]));
  const own = (id: number): number => (id === 0 ? 1 : vocabulary[pieces[id]!.text]!);

  test('Marian: a thousand texts by the source model', () => {
    const tokenizer = open(join(fixtures, 'xlm-roberta.model'), { modelType: 'marian', vocabulary });
    expect(differences(tokenizer, 'xlm-roberta', own)).toEqual([]);
    const inner = tokenizer.encode('a b', { specialTokens: false });
    expect(tokenizer.encode('a b')).toEqual([...inner, 0]);
    expect(tokenizer.encode('>>fra<< a b')).toEqual([vocabulary['>>fra<<'], ...inner, 0]);
    expect(tokenizer.encode('a b ხე')).toEqual([...inner, vocabulary['\u2581'], 1, 0]);
    expect(tokenizer.decode([vocabulary['\u2581ხე']!, 0])).toBe('ხე');
  });

  test('M2M100: languages behind them', () => {
    const { pieces: bpe } = readSentencePiece(bytes(join(fixtures, 'bpe.model')));
    const list = ['<s>', '<pad>', '</s>', '<unk>', ...bpe.slice(3).map(({ text }) => text)];
    const ids = Object.fromEntries(list.map((text, id) => [text, id]));
    const tokenizer = open(join(fixtures, 'bpe.model'), { modelType: 'm2m_100', vocabulary: ids, tokenizerConfig: { additional_special_tokens: ['__af__', '__en__'], src_lang: 'af' } });
    expect(differences(tokenizer, 'bpe', fairseq)).toEqual([]);
    expect(tokenizer.encode('a b')).toEqual([list.length, ...tokenizer.encode('a b', { specialTokens: false }), 2]);
  });

  test.each([
    ['no vocab.json', { modelType: 'marian' }, /vocab\.json/],
    ['an id twice', { modelType: 'marian', vocabulary: { a: 0, b: 0 } }, /"b" the id 0/],
    ['an id too far', { modelType: 'marian', vocabulary: { a: 2 ** 40 } }, /"a" the id/],
    ['no languages', { modelType: 'm2m_100' }, /languages/],
    ['an unknown language', { modelType: 'mbart', tokenizerConfig: { src_lang: 'xx_XX' } }, /xx_XX/],
  ] as const)('%s is named', (_, options, message) => {
    expect(() => sentencePieceTokenizer(model, options)).toThrow(expect.objectContaining({ code: 'E_TOKENIZER', message: expect.stringMatching(message) as string }) as Error);
  });
});

test('Unigram with bytes: texts that spell such a piece are read as it, by every client', () => {
  const tokenizer = open(join(fixtures, 'unigram-bytes.model'), {});
  expect(differences(tokenizer, 'unigram-bytes', undefined, /<0x[\dA-F]{2}>/)).toEqual([]);
  expect(tokenizer.decode(tokenizer.encode('盆 🪴 ok', { specialTokens: false }))).toBe('盆 🪴 ok');
});

describe.skipIf(!testData)('tiny-t5, with the normalizer of most Unigram models', () => {
  const folder = join(testData ?? '', 'models', 'tiny-t5');
  const json = (name: string): Record<string, unknown> => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;

  test('a thousand texts', () => {
    expect(differences(open(join(folder, 'spiece.model'), {}), 'tiny-t5')).toEqual([]);
  });

  test('special tokens of the folder have the ids it gives them', () => {
    const tokenizer = open(join(folder, 'spiece.model'), { tokenizerConfig: json('tokenizer_config.json'), addedTokens: json('added_tokens.json') });
    const { added_tokens_decoder } = json('tokenizer_config.json') as { added_tokens_decoder: Record<string, { content: string }> };
    for (const [id, { content }] of Object.entries(added_tokens_decoder)) expect([content, tokenizer.idOf(content)]).toEqual([content, Number(id)]);
    expect(tokenizer).toMatchObject({ eosToken: '</s>', bosToken: undefined });
    expect(tokenizer.encode('a <extra_id_0> b')).toEqual(expect.arrayContaining([32099, 1]));
  });
});

describe('options of tokenizer_config.json', () => {
  const path = join(fixtures, 'llama.model');

  test('tokens at the ends, and a prefix before the first text only', () => {
    const both = open(path, { tokenizerConfig: { tokenizer_class: 'LlamaTokenizer', add_bos_token: false, add_eos_token: true } });
    expect(both.encode('a')).toEqual([263, 2]);
    const legacy = open(path, { modelType: 'llama' });
    const modern = open(path, { tokenizerConfig: { tokenizer_class: 'LlamaTokenizerFast', legacy: false } });
    expect(legacy.encode('a</s>a')).toEqual([1, 263, 2, 263]);
    expect(modern.encode('a</s>a').slice(0, 3)).toEqual([1, 263, 2]);
    expect(modern.tokenOf(modern.encode('a</s>a')[3]!)).toBe('a');
  });

  test('what the folder says stays, what it leaves out is added', () => {
    const { tokenizerConfig } = sentencePieceTokenizer(bytes(path), { modelType: 'llama', tokenizerConfig: { model_max_length: 512, chat_template: 'x', eos_token: { content: '</s>' } } });
    expect(tokenizerConfig).toEqual({
      tokenizer_class: 'LlamaTokenizer', clean_up_tokenization_spaces: false, model_max_length: 512, chat_template: 'x',
      bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: '<unk>',
    });
  });
});

describe('hostile models', () => {
  const models = ['llama', 't5', 'gemma'].map((name) => bytes(join(fixtures, `${name}.model`)));

  test('changed, cut and mixed bytes end in a tokenizer or a typed error', () => {
    const change = fc.record({ at: fc.nat(8000), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.constantFrom(...models), fc.array(change, { minLength: 1, maxLength: 6 }), fc.option(fc.nat(8000)), (model, changes, cut) => {
        const copy = model.slice(0, cut ?? undefined);
        for (const { at, value } of changes) if (at < copy.length) copy[at] = value;
        try {
          const { tokenizerJson } = sentencePieceTokenizer(copy);
          expect(tokenizerJson).toHaveProperty('model');
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^E_(TOKENIZER|LIMIT)$/);
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each([
    ['nothing', new Uint8Array(0), 'E_TOKENIZER'],
    ['a text', new TextEncoder().encode('{"model": {}}'), 'E_TOKENIZER'],
    ['an endless piece', piece('a'.repeat(3000)), 'E_LIMIT'],
    ['two pieces of one text', Uint8Array.of(...piece('a'), ...piece('a')), 'E_TOKENIZER'],
    ['a vocabulary of words', Uint8Array.of(...piece('a'), 0x12, 2, 0x18, 3), 'E_TOKENIZER'],
    ['an unknown piece that is none', Uint8Array.of(...piece('a'), 0x12, 3, 0xc0, 2, 9), 'E_TOKENIZER'],
    ['a damaged normalizer', Uint8Array.of(...piece('a'), 0x1a, 6, 0x12, 4, 255, 255, 0, 0), 'E_TOKENIZER'],
  ])('%s', (_name, model, code) => {
    expect(() => sentencePieceTokenizer(model)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

/** ModelProto with one piece. */
function piece(text: string): Uint8Array {
  const content = new TextEncoder().encode(text);
  const length = (size: number): number[] => (size < 128 ? [size] : [(size & 127) | 128, size >> 7]);
  const inner = [0x0a, ...length(content.length), ...content];
  return Uint8Array.of(0x0a, ...length(inner.length), ...inner);
}
