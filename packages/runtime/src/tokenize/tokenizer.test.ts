import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTokenizer } from './tokenizer.js';
import { loadTokenizer } from './tokenizer-files.js';

const data = process.env['PENJING_TESTDATA']
  ? pathToFileURL(`${process.env['PENJING_TESTDATA']}/`)
  : new URL('../../../../../shared/data/', import.meta.url);
const stories = new URL('models/stories260k/', data);
const json = <T>(name: string): T => JSON.parse(readFileSync(new URL(name, data), 'utf8')) as T;

interface Expected {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_no_special: readonly number[];
  readonly decoded: string;
}

describe.skipIf(!existsSync(data))('against recorded tokenizers', () => {
  test.each(['gpt2', 't5-small'])('%s gives the recorded ids and texts', (name) => {
    const tokenizer = createTokenizer({ tokenizer: json(`tokenizers/${name}_tokenizer.json`), config: {} });
    for (const { text, ids, ids_no_special, decoded } of json<Expected[]>(`tokenizers/${name}_expected.json`)) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.encode(text, { specialTokens: false })).toEqual(ids_no_special);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
  });

  test('gpt2 gives the recorded ids of a long text', () => {
    const tokenizer = createTokenizer({ tokenizer: json('tokenizers/gpt2_tokenizer.json'), config: {} });
    const { text, token_ids } = json<{ text: string; token_ids: number[] }>('tokenizers/gpt2_encoded_tokens.json');
    expect(tokenizer.encode(text)).toEqual(token_ids);
    expect(tokenizer.decode(token_ids)).toBe(text);
  });

  test('stories260k: prompts and continuations, as one piece and as a stream', async () => {
    const tokenizer = await loadTokenizer(new URL('hf', stories).pathname);
    const { cases } = json<{ cases: { prompt: string; prompt_ids: number[]; greedy_ids: number[]; greedy_text: string }[] }>('models/stories260k/expected.json');
    expect(tokenizer).toMatchObject({ vocabSize: 512, bosToken: '<s>', eosToken: '</s>', maxLength: 512, hasChatTemplate: false });
    for (const { prompt, prompt_ids, greedy_ids, greedy_text } of cases) {
      expect(tokenizer.encode(prompt)).toEqual(prompt_ids);
      const stream = tokenizer.stream(prompt_ids);
      const text = greedy_ids.map((id) => stream.push(id)).join('') + stream.end();
      // After an empty prompt the text begins a line: decoders strip its leading space.
      expect(text).toBe(prompt === '' ? greedy_text.trimStart() : greedy_text);
    }
  });

  test.each(['gpt2', 'stories260k'])('%s: a stream never cuts a character and loses nothing', (name) => {
    const file = name === 'gpt2' ? 'tokenizers/gpt2_tokenizer.json' : 'models/stories260k/hf/tokenizer.json';
    const tokenizer = createTokenizer({ tokenizer: json(file), config: {} });
    const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => !/\p{Surrogate}/u.test(value) && !value.includes('\ufffd'));
    fc.assert(
      fc.property(text, (value) => {
        const ids = tokenizer.encode(value, { specialTokens: false });
        const stream = tokenizer.stream();
        const pieces = ids.map((id) => stream.push(id));
        expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(ids));
        expect(pieces.every((piece) => !/[\ufffd\p{Surrogate}]/u.test(piece))).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('stories260k: a word that the model has and the tokenizer has not says nothing', async () => {
    const tokenizer = await loadTokenizer(new URL('hf', stories).pathname);
    const stream = tokenizer.stream();
    const ids = tokenizer.encode('Once upon a time', { specialTokens: false });
    expect(ids.flatMap((id) => [id, tokenizer.vocabSize + 5]).map((id) => stream.push(id)).join('') + stream.end()).toBe(tokenizer.decode(ids));
    expect(() => tokenizer.decode([tokenizer.vocabSize])).toThrow(/is not a token id/);
  });

  test('gpt2: a stream of any bytes equals the whole', () => {
    const tokenizer = createTokenizer({ tokenizer: json('tokenizers/gpt2_tokenizer.json'), config: {} });
    // The first 256 tokens are the single bytes.
    fc.assert(
      fc.property(fc.array(fc.nat(255), { maxLength: 40 }), (ids) => {
        const stream = tokenizer.stream();
        expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(tokenizer.decode(ids));
      }),
    );
  });
});

describe('a tokenizer made for the test', () => {
  const tokenizer = {
    version: '1.0',
    added_tokens: [
      { id: 0, content: '<s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
      { id: 1, content: '</s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab: { '<s>': 0, '</s>': 1, hello: 2, world: 3, '<unk>': 4 }, unk_token: '<unk>' },
  };
  const template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

  test('chat templates see the special tokens and the options', () => {
    const chat = createTokenizer({ tokenizer, config: { bos_token: { content: '<s>' }, chat_template: template } });
    const messages = [{ role: 'user', content: 'hello' }];
    expect(chat.hasChatTemplate).toBe(true);
    expect(chat.applyChatTemplate(messages)).toBe('<s>[user] hello\n[assistant]');
    expect(chat.applyChatTemplate(messages, { addGenerationPrompt: false })).toBe('<s>[user] hello\n');
  });

  test('named templates and failing templates', () => {
    const chat = createTokenizer({
      tokenizer,
      config: { chat_template: [{ name: 'default', template: 'd' }, { name: 'tool_use', template: '{{ raise_exception("no") }}' }] },
    });
    expect(chat.applyChatTemplate([])).toBe('d');
    expect(() => chat.applyChatTemplate([], { tools: [] })).toThrow(expect.objectContaining({ code: 'E_CHAT_TEMPLATE' }) as Error);
    expect(() => chat.applyChatTemplate([], { name: 'rag' })).toThrow(expect.objectContaining({ code: 'E_CHAT_TEMPLATE', hint: expect.stringContaining('tool_use') as string }) as Error);
    expect(() => createTokenizer({ tokenizer, config: {} }).applyChatTemplate([])).toThrow(expect.objectContaining({ code: 'E_CHAT_TEMPLATE' }) as Error);
  });

  test('ids outside the vocabulary are refused, no ids are no text', () => {
    const words = createTokenizer({ tokenizer, config: {} });
    expect(words.decode([])).toBe('');
    expect(() => words.decode([5])).toThrow(expect.objectContaining({ code: 'E_INPUT' }) as Error);
    expect(() => words.decode([-1])).toThrow(expect.objectContaining({ code: 'E_INPUT' }) as Error);
  });

  test('a file that is no tokenizer is a typed error', async () => {
    expect(() => createTokenizer({ tokenizer: { model: { type: 'Nonsense' } }, config: {} })).toThrow(expect.objectContaining({ code: 'E_TOKENIZER' }) as Error);
    await expect(loadTokenizer('/nowhere')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});

describe('hostile files', () => {
  const vocab = Object.fromEntries([...'ab '].map((char, id) => [char, id]));
  const evil = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false },
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', vocab, merges: [], unk_token: null },
  };
  const limits = { milliseconds: 300, millisecondsPerCharacter: 0.2 };

  test('a pattern that backtracks for ever is stopped', () => {
    const tokenizer = createTokenizer({ tokenizer: evil, config: {} }, limits);
    expect(tokenizer.encode('ab')).toEqual([0, 1]);
    const started = performance.now();
    expect(() => tokenizer.encode(`${'a'.repeat(40)}b`)).toThrow(expect.objectContaining({ code: 'E_DEADLINE' }) as Error);
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(tokenizer.encode('ab')).toEqual([0, 1]);
  });

  test('so is a chat template that counts for ever', () => {
    const loop = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}';
    const tokenizer = createTokenizer({ tokenizer: evil, config: { chat_template: loop } }, limits);
    expect(() => tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }])).toThrow(expect.objectContaining({ code: 'E_DEADLINE' }) as Error);
  });
});
