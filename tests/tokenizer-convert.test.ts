/** SentencePiece models as tokenizer.json: the ids that SentencePiece itself gave a thousand texts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sentencePieceTokenizer, type SentencePieceOptions } from '@penjing/graph-io';
import type { Tokenizer } from '@penjing/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
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
