/** Vocabularies of GGUF files as tokenizer.json: the ids of the tokenizers they were made of. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { memorySource } from '@penjing/core';
import { ggufTokenizer, openGguf } from '@penjing/graph-io';
import type { Tokenizer } from '@penjing/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { preTokenizerKinds } from '../packages/graph-io/src/tokenizer/gguf-pre-tokenizers.js';
import { readSentencePiece } from '../packages/graph-io/src/tokenizer/sentencepiece-model.js';
import { createTokenizer } from '../packages/runtime/src/tokenize/tokenizer.js';
import { testData } from './tools/test-data.js';

type Metadata = ReadonlyMap<string, unknown>;

const fixtures = join(import.meta.dirname, 'fixtures', 'tokenizers');
const recorded = <T>(name: string): T => JSON.parse(gunzipSync(readFileSync(join(fixtures, `${name}.json.gz`))).toString()) as T;
const texts = recorded<string[]>('texts');

function open(metadata: Metadata): Tokenizer {
  const { tokenizerJson, tokenizerConfig } = ggufTokenizer(metadata);
  return createTokenizer({ tokenizer: tokenizerJson, config: tokenizerConfig });
}

const NUMBERS = { normal: 1, unknown: 2, control: 3, 'user-defined': 4, unused: 5, byte: 6 } as const;

/** What a converter of llama.cpp writes of a SentencePiece model. */
function metadataOf(name: string, model: string): Map<string, unknown> {
  const proto = readSentencePiece(new Uint8Array(readFileSync(join(fixtures, `${name}.model`))));
  const ids = { bos_token_id: proto.begin, eos_token_id: proto.end, unknown_token_id: proto.unknown, padding_token_id: proto.padding };
  return new Map<string, unknown>([
    ['tokenizer.ggml.model', model],
    ['tokenizer.ggml.tokens', proto.pieces.map(({ text }) => text)],
    ['tokenizer.ggml.scores', Float32Array.from(proto.pieces, ({ score }) => score)],
    ['tokenizer.ggml.token_type', Int32Array.from(proto.pieces, ({ kind }) => NUMBERS[kind])],
    ['tokenizer.ggml.add_space_prefix', proto.dummyPrefix],
    ['tokenizer.ggml.remove_extra_whitespaces', proto.removeExtraWhitespaces],
    ...(proto.charsmap ? [['tokenizer.ggml.precompiled_charsmap', proto.charsmap] as const] : []),
    ...Object.entries(ids).flatMap(([key, id]) => (id === undefined ? [] : [[`tokenizer.ggml.${key}`, id] as const])),
  ]);
}

/** Byte-level BPE of the 256 bytes and a merge. */
function byteLevel(pre: string): Map<string, unknown> {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  const tokens = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
  return new Map<string, unknown>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', pre],
    ['tokenizer.ggml.tokens', [...tokens, 'th', 'Ġth', '<|end|>']],
    ['tokenizer.ggml.token_type', [...tokens.map(() => 1), 1, 1, 3]],
    ['tokenizer.ggml.merges', ['t h', 'Ġ th', 'x yz']],
    ['tokenizer.ggml.bos_token_id', 258],
    ['tokenizer.ggml.eos_token_id', 258n],
    ['tokenizer.chat_template', '{{ messages }}'],
  ]);
}

test.each([
  ['llama', 'llama', [1, '…']],
  ['gemma', 'llama', [2, '…']],
  ['t5', 't5', ['…', 1]],
] as const)('a vocabulary of SentencePiece: %s', (name, model, around) => {
  const tokenizer = open(metadataOf(name, model));
  const wanted = recorded<number[][]>(`${name}.ids`);
  const wrong = texts.filter((text, i) => tokenizer.encode(text, { specialTokens: false }).join() !== wanted[i]!.join());
  expect(wrong).toEqual([]);
  const inner = tokenizer.encode('a b', { specialTokens: false });
  expect(tokenizer.encode('a b')).toEqual(around.flatMap((id) => (id === '…' ? inner : [id])));
});

describe.skipIf(!testData || !existsSync(join(testData, 'gguf')))('the vocabularies of llama.cpp', () => {
  const path = (name: string): string => join(testData!, 'gguf', `ggml-vocab-${name}.gguf`);
  const load = async (name: string): Promise<Tokenizer> => open((await openGguf(memorySource(new Uint8Array(readFileSync(path(name)))))).metadata);

  test.each(['phi-3', 'gpt-2'])('%s: its own texts and ids', async (name) => {
    const tokenizer = await load(name);
    const inputs = readFileSync(`${path(name)}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const lines = readFileSync(`${path(name)}.out`, 'utf8').split('\n');
    expect(inputs.length).toBeGreaterThan(40);
    expect(inputs.map((text) => tokenizer.encode(text, { specialTokens: false }).join(' '))).toEqual(inputs.map((_, i) => lines[i]!.trim()));
  });

  test('gpt-2: the thousand texts as with the published tokenizer.json', async () => {
    const tokenizer = await load('gpt-2');
    const published = createTokenizer({ tokenizer: JSON.parse(readFileSync(join(testData!, 'tokenizers', 'gpt2_tokenizer.json'), 'utf8')) as object, config: {} });
    expect(texts.filter((text) => tokenizer.encode(text).join() !== published.encode(text).join())).toEqual([]);
  });

  test('phi-3: chat template, special tokens and added ones', async () => {
    const tokenizer = await load('phi-3');
    expect(tokenizer).toMatchObject({ bosToken: '<s>', eosToken: '<|endoftext|>', hasChatTemplate: true, vocabSize: 32064 });
    expect(tokenizer.encode('<|user|>a<|end|>')).toEqual([1, 32010, ...tokenizer.encode('a', { specialTokens: false }), 32007]);
  });
});

describe('byte-level BPE', () => {
  const distinct = [...new Map(Object.entries(preTokenizerKinds).map(([pre, kind]) => [JSON.stringify(kind), pre])).values()];

  test.each(distinct)('%s: every text comes back', (pre) => {
    const tokenizer = open(byteLevel(pre));
    // what NFC or a decoder changes, and what is no text, is left out
    for (const text of texts.slice(0, 200)) {
      if (text === '' || text !== text.normalize('NFC')) continue;
      expect(tokenizer.decode(tokenizer.encode(text, { specialTokens: false }))).toBe(text);
    }
    expect(tokenizer.encode(' th')).toEqual([...(preTokenizerKinds[pre]!.addBos ? [258] : []), 257]);
  });

  test('numbers are cut as the kind says', () => {
    const pieces = (pre: string): number => open(new Map([...byteLevel(pre), ['tokenizer.ggml.merges', ['1 2', '12 3', '123 4']], ['tokenizer.ggml.tokens', [...(byteLevel(pre).get('tokenizer.ggml.tokens') as string[]), '12', '123', '1234']], ['tokenizer.ggml.token_type', new Int32Array(262).fill(1)]])).encode('1234').length;
    expect(['gpt-2', 'chatglm-bpe', 'qwen2', 'starcoder'].map(pieces)).toEqual([1, 2, 4, 4]);
  });
});

test('WordPiece', () => {
  const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '\u2581the', '\u2581tree', 's', '\u2581.', '\u2581cafe'];
  const tokenizer = open(new Map<string, unknown>([
    ['tokenizer.ggml.model', 'bert'],
    ['tokenizer.ggml.tokens', words],
    ['tokenizer.ggml.token_type', [3, 2, 3, 3, 3, 1, 1, 1, 1, 1]],
    ['tokenizer.ggml.bos_token_id', 2], ['tokenizer.ggml.cls_token_id', 2], ['tokenizer.ggml.seperator_token_id', 3], ['tokenizer.ggml.unknown_token_id', 1], ['tokenizer.ggml.mask_token_id', 4],
  ]));
  expect(tokenizer.encode('The trees. Café 盆')).toEqual([2, 5, 6, 7, 8, 9, 1, 3]);
  expect(tokenizer.decode([2, 5, 6, 7, 8, 3])).toBe('the trees .');
});

describe('hostile metadata', () => {
  test.each([
    ['no vocabulary', new Map(), /tokenizer.ggml.model/],
    ['an unknown model', new Map([['tokenizer.ggml.model', 'rwkv']]), /rwkv/],
    ['no tokens', new Map([['tokenizer.ggml.model', 'llama']]), /tokens/],
    ['an unknown kind', byteLevel('nonsense'), /nonsense/],
    ['tokens that are numbers', new Map<string, unknown>([...byteLevel('gpt-2'), ['tokenizer.ggml.tokens', [1, 2]]]), /tokens/],
    ['too few types', new Map<string, unknown>([...byteLevel('gpt-2'), ['tokenizer.ggml.token_type', [1]]]), /token_type/],
    ['a token twice', new Map<string, unknown>([...metadataOf('llama', 'llama'), ['tokenizer.ggml.tokens', ['a', 'a']]]), /both/],
    ['a merge that is none', new Map<string, unknown>([...byteLevel('gpt-2'), ['tokenizer.ggml.merges', ['ab']]]), /merges/],
    ['a damaged normalizer', new Map<string, unknown>([...metadataOf('t5', 't5'), ['tokenizer.ggml.precompiled_charsmap', [9, 9, 9, 9, 9]]]), /normalizer/],
  ])('%s', (_name, metadata: Metadata, message) => {
    expect(() => ggufTokenizer(metadata)).toThrow(expect.objectContaining({ code: 'E_TOKENIZER', message: expect.stringMatching(message) as string }) as Error);
  });

  test('any values end in files or a typed error', () => {
    const keys = [...new Set([...byteLevel('qwen2').keys(), ...metadataOf('t5', 't5').keys()])];
    const value = fc.oneof(fc.string(), fc.double(), fc.bigInt(), fc.boolean(), fc.array(fc.string()), fc.array(fc.double()), fc.uint8Array(), fc.constant(undefined));
    fc.assert(
      fc.property(fc.constantFrom(byteLevel('qwen2'), metadataOf('t5', 't5'), metadataOf('llama', 'llama')), fc.array(fc.tuple(fc.constantFrom(...keys), value), { minLength: 1, maxLength: 3 }), (base, changes) => {
        try {
          expect(ggufTokenizer(new Map<string, unknown>([...base, ...changes])).tokenizerJson).toHaveProperty('model');
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^E_(TOKENIZER|LIMIT)$/);
        }
      }),
      { numRuns: 150 },
    );
  });
});
