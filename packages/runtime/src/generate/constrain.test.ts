import { rm } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteFallbackTokenizer, byteLevelTokenizer, sizeOf } from '../testing/grammar-vocabularies.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { type Generator, loadGenerator } from './generator.js';

const context = 512;
const kinds = { byteLevel: byteLevelTokenizer, byteFallback: byteFallbackTokenizer } as const;
const folders: string[] = [];
/** In the form for generation, which batches, and as it is stored. */
const generators = {} as Record<keyof typeof kinds | 'alone', Generator>;

beforeAll(async () => {
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    const words = sizeOf(kinds[kind]);
    // As many models do, one has logits beyond its tokens.
    const spare = kind === 'byteFallback' ? 7 : 0;
    const folder = await writeModelFolder({ '': packedDecoder({ words: words + spare, places: context }), _alone: tinyDecoder({ vocabSize: words, context }) }, { eos_token_id: 1 }, { tokenizer: kinds[kind], vocabSize: words + spare, context });
    folders.push(folder);
    generators[kind] = await loadGenerator(folder, { threads: 1 });
    if (kind === 'byteLevel') generators.alone = await loadGenerator(folder, { threads: 1, variant: 'alone' });
  }
});
afterAll(async () => {
  for (const generator of Object.values(generators)) await generator[Symbol.asyncDispose]();
  for (const folder of folders) await rm(folder, { recursive: true });
});

const short = { type: 'string', maxLength: 8 };
const schemas: Record<string, object> = {
  nested: { type: 'object', properties: { name: short, at: { type: 'object', properties: { x: { type: 'number' }, y: { type: 'integer' } }, required: ['x', 'y'] } }, required: ['name', 'at'] },
  arrays: { type: 'array', minItems: 1, maxItems: 4, items: { anyOf: [{ enum: ['red', 'gr"n', 7, null] }, short, { type: 'boolean' }] } },
  refs: { $ref: '#/$defs/tree', $defs: { tree: { type: 'object', properties: { value: { type: 'integer', minimum: -5, maximum: 50 }, left: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/leaf' }] } }, required: ['value', 'left'] }, leaf: { type: 'object', properties: { word: { type: 'string', pattern: '^[a-f]{1,3}$' } }, required: ['word'] } } },
};
const ajv = new Ajv2020({ strict: false });

describe.each(['byteLevel', 'byteFallback', 'alone'] as const)('%s: a model with random weights', (kind) => {
  test.each(Object.keys(schemas))('writes JSON that is valid against the schema %s', async (name) => {
    const check = ajv.compile(schemas[name]!);
    const options = { constrain: { schema: schemas[name]! }, maxNewTokens: 400 };
    const texts = [await generators[kind].generate('ab', options), ...(await generators[kind].choices('ab', 4, { ...options, temperature: 1, seed: 5 }))];
    const ended = texts.filter(({ finishReason }) => finishReason === 'end');
    expect(ended.length).toBeGreaterThanOrEqual(4);
    for (const { text, tokens } of ended) {
      expect(check(JSON.parse(text)), text).toBe(true);
      expect(tokens).not.toContain(1);
    }
    // Each text is its own, also beside the others of a batch.
    expect((await generators[kind].generate('ab', { ...options, temperature: 1, seed: 5 })).text).toBe(texts[1]!.text);
  });
});

describe('constraints', () => {
  test('hold beside texts that have none, and change none of them', async () => {
    const generator = generators.byteLevel;
    const free = await generator.generate('free', { maxNewTokens: 60, ignoreEndToken: true });
    const [held, number, again, other] = await Promise.all([
      generator.generate('x', { constrain: { regex: '(ab|c){5}' } }),
      generator.generate('x', { constrain: { grammar: 'root ::= [0-9] [0-9] "." [5-6]' }, temperature: 2 }),
      generator.generate('free', { maxNewTokens: 60, ignoreEndToken: true }),
      generator.generate('x', { constrain: { regex: '(ab|c){5}' }, temperature: 3, seed: 2 }),
    ]);
    expect(held).toMatchObject({ text: expect.stringMatching(/^(ab|c){5}$/) as string, finishReason: 'end' });
    expect(number.text).toMatch(/^\d\d\.[56]$/);
    expect(other.text).toMatch(/^(ab|c){5}$/);
    expect(again.text).toBe(free.text);
  });

  test('a text that is cut is the beginning of a right one', async () => {
    expect(await generators.byteLevel.generate('x', { constrain: { regex: 'a{50}' }, maxNewTokens: 3 })).toMatchObject({ text: 'aaa', finishReason: 'length' });
    expect(await generators.byteLevel.generate('x', { constrain: { regex: 'a{5}b{5}' }, stop: ['ab'] })).toMatchObject({ text: 'aaaa', finishReason: 'stop' });
  });

  test('end tokens come only where the grammar may end, even when they are demanded', async () => {
    const options = { constrain: { regex: '[ab]{3,6}' }, logitBias: new Map([[1, 100]]) };
    expect((await generators.byteLevel.generate('x', options)).text).toMatch(/^[ab]{3}$/);
    expect((await generators.byteLevel.generate('x', { ...options, ignoreEndToken: true })).text).toMatch(/^[ab]{6}$/);
    const a = generators.byteLevel.tokenizer.encode('a')[0]!;
    expect(await generators.byteLevel.generate('x', { ...options, stopTokens: [a] })).toMatchObject({ text: 'bbb' });
  });

  test('log-probabilities are those of the model', async () => {
    const { logProbabilities } = await generators.byteLevel.generate('x', { constrain: { regex: 'abc' }, logProbabilities: 0 });
    expect(logProbabilities!.every((log) => log < -0.1 && Number.isFinite(log))).toBe(true);
  });

  test('what goes wrong is told to its text alone', async () => {
    const generator = generators.byteLevel;
    const free = await generator.generate('free', { maxNewTokens: 40, ignoreEndToken: true });
    const [ambiguous, wrong, again] = await Promise.allSettled([
      generator.generate('x', { constrain: { grammar: 'root ::= a\na ::= a a a | a a | "a" | ""', timeLimit: 100 }, ignoreEndToken: true, logitBias: new Map([[generator.tokenizer.encode('a')[0]!, 100]]), maxNewTokens: 450 }),
      generator.generate('x', { constrain: { schema: { type: 'string', contains: {} } } }),
      generator.generate('free', { maxNewTokens: 40, ignoreEndToken: true }),
    ]);
    expect(ambiguous).toMatchObject({ status: 'rejected', reason: { code: 'E_GRAMMAR', message: expect.stringContaining('longer than 100 ms') as string } });
    expect(wrong).toMatchObject({ status: 'rejected', reason: { code: 'E_GRAMMAR', message: expect.stringContaining('contains') as string } });
    expect(again).toMatchObject({ value: { text: free.text } });
    expect((await generator.generate('x', { constrain: { regex: 'ok' } })).text).toBe('ok');
  });

  test('cancelling, and many grammars at once, leave nothing behind', async () => {
    const generator = generators.byteLevel;
    const results = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => {
      const stop = new AbortController();
      if (i % 4 === 1) stop.abort(new Error('early'));
      if (i % 4 === 2) setTimeout(() => stop.abort(new Error('late')), 5 * i);
      return generator.generate('x', { constrain: { regex: `(a|b){${1 + (i % 9)}}` }, signal: stop.signal });
    }));
    for (const [i, result] of results.entries()) if (i % 4 === 0 || i % 4 === 3) expect(result).toMatchObject({ status: 'fulfilled', value: { text: expect.stringMatching(new RegExp(`^[ab]{${1 + (i % 9)}}$`)) as string } });
  });
});
