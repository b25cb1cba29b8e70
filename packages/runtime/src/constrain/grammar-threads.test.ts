import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng } from '@penjing/core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteFallbackTokenizer, byteLevelTokenizer } from '../testing/grammar-vocabularies.js';
import { createTokenizer, type Tokenizer } from '../tokenize/tokenizer.js';
import type { Constraint } from './constraint.js';
import { grammarSource } from './constraint.js';
import { GrammarThreads } from './grammar-threads.js';
import { TextMask } from './text-mask.js';

const kinds = { byteLevel: byteLevelTokenizer, byteFallback: byteFallbackTokenizer } as const;
const folders = {} as Record<keyof typeof kinds, string>;
const threads = {} as Record<keyof typeof kinds, GrammarThreads>;
const tokenizers = {} as Record<keyof typeof kinds, Tokenizer>;

beforeAll(async () => {
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    folders[kind] = await mkdtemp(join(tmpdir(), 'penjing-grammar-'));
    await writeFile(join(folders[kind], 'tokenizer.json'), JSON.stringify(kinds[kind]));
    threads[kind] = new GrammarThreads(folders[kind]);
    tokenizers[kind] = createTokenizer({ tokenizer: kinds[kind], config: {} });
  }
});
afterAll(async () => {
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    await threads[kind][Symbol.asyncDispose]();
    await rm(folders[kind], { recursive: true });
  }
});

async function open(constraint: Constraint, kind: keyof typeof kinds = 'byteLevel', patience = 2000) {
  const { source, timeLimit } = grammarSource(constraint);
  const grammar = await threads[kind].open(source, timeLimit);
  return { mask: new TextMask({ ...grammar, patience }), grammar };
}

/** Texts of random tokens that a constraint allows; those that were cut by `most` are left out. */
async function walk(constraint: Constraint, kind: keyof typeof kinds, { seed = 1, count = 2, most = 1500 } = {}): Promise<string[]> {
  const rng = createRng(seed);
  const texts: string[] = [];
  for (let i = 0; i < count; i++) {
    const { mask, grammar } = await open(constraint, kind);
    const tokens: number[] = [];
    try {
      for (let ended = false; tokens.length < most && !ended; ) {
        const { words, mayEnd, open: more } = mask.next();
        const allowed = Array.from({ length: 32 * words.length }, (_, id) => id).filter((id) => (words[id >> 5]! >>> (id & 31)) & 1);
        ended = !more || (mayEnd && rng.uniform() < 0.3);
        if (ended) texts.push(tokenizers[kind].decode(tokens));
        else {
          tokens.push(allowed[Math.floor(rng.uniform() * allowed.length)]!);
          mask.accept(tokens.at(-1)!);
        }
      }
    } finally {
      mask.close();
      grammar.release();
    }
  }
  return texts;
}

const short = { type: 'string', maxLength: 6 };
const schemas: Record<string, object> = {
  nested: { type: 'object', properties: { name: short, tags: { type: 'array', items: short, maxItems: 3 }, at: { type: 'object', properties: { x: { type: 'number' }, y: { type: 'integer', minimum: -20, exclusiveMaximum: 300 } }, required: ['x', 'y'] } }, required: ['name', 'at'] },
  choices: { type: 'array', minItems: 2, maxItems: 5, items: { anyOf: [{ enum: ['a"b\\', 1, null, { deep: [true] }] }, { const: 'é\n' }, { type: ['boolean', 'null'] }] } },
  refs: { $ref: '#/$defs/list', $defs: { list: { type: 'object', properties: { value: { type: 'integer', minimum: 0, maximum: 9 }, next: { anyOf: [{ type: 'null' }, { type: 'null', description: 'twice as likely' }, { $ref: '#/$defs/list' }] } }, required: ['value', 'next'], additionalProperties: false } } },
  numbers: { type: 'object', properties: { low: { type: 'number', exclusiveMinimum: 0, maximum: 1 }, high: { type: 'number', minimum: -3, exclusiveMaximum: 0 }, wide: { type: 'number', minimum: -120, maximum: 45 }, big: { type: 'integer', minimum: 10 }, small: { type: 'integer', maximum: -7 } }, required: ['low', 'high', 'wide', 'big', 'small'] },
  strings: { type: 'object', properties: { day: { type: 'string', format: 'date' }, at: { type: 'string', format: 'date-time' }, code: { type: 'string', pattern: '^[A-Z]{2}-\\d+["\\\\]?$' }, mail: { type: 'string', format: 'email' }, any: { type: 'string', pattern: '^x.y' }, two: { type: 'string', minLength: 2, maxLength: 4 } }, required: ['day', 'at', 'code', 'mail', 'any', 'two'] },
  open: { type: 'object', properties: { ab: { type: 'null' }, abc: { type: 'boolean' } }, additionalProperties: { type: 'integer', maximum: 5, minimum: 5 } },
  optional: { type: 'object', properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 }, d: { const: 4 } }, required: ['c'], additionalProperties: false },
  tuple: { type: 'array', prefixItems: [{ const: 'x' }, { type: 'boolean' }], items: { const: 0 }, minItems: 3, maxItems: 5 },
  tagged: { oneOf: [{ type: 'object', properties: { kind: { const: 'a' }, size: { type: 'integer', minimum: 1, maximum: 12 } }, required: ['kind', 'size'] }, { type: 'object', properties: { kind: { const: 'b' } }, required: ['kind'] }] },
  joined: { type: 'object', allOf: [{ properties: { a: { type: 'integer', minimum: 3 } }, required: ['a'] }, { properties: { a: { maximum: 12 }, b: short }, required: ['b'] }] },
  anything: { type: 'array', maxItems: 2, items: {} },
};
const ajv = new Ajv2020({ strict: false, validateFormats: false });

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])('%s: random tokens that a grammar allows', (kind) => {
  test.each(Object.keys(schemas))('are JSON that is valid against the schema %s', async (name) => {
    const check = ajv.compile(schemas[name]!);
    const texts = await walk({ schema: schemas[name]! }, kind);
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts) {
      const value = ((): unknown => {
        try {
          return JSON.parse(text);
        } catch (cause) {
          throw new Error(JSON.stringify(text), { cause });
        }
      })();
      if (!check(value)) throw new Error(`${text}: ${ajv.errorsText(check.errors)}`);
    }
  });

  test.each(['[0-9]{3}-[a-z]+', '^(yes|no|é+)$', '(?:\\w+ ){2}\\w+\\.', '[^a-z\\s]{4}\\p'.slice(0, -2), '\\u{1f600}|x{0,3}y'])('match the pattern %s', async (regex) => {
    const texts = await walk({ regex }, kind);
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts) expect(text).toMatch(new RegExp(`^(?:${regex})$`, 'u'));
  });

  test('are texts of a grammar', async () => {
    for (const text of await walk({ grammar: 'root ::= [à-ü\\-] # [x\n  [^a-z\\x00-\\x7f] "[é]" [\\u00e9]' }, kind)) expect(text).toMatch(/^[à-ü-][^\x00-\x7f]\[é\]é$/u);
    const texts = await walk({ grammar: 'root ::= sum\nsum ::= term ("+" term)*\nterm ::= [0-9] | "(" sum ")"' }, kind, { count: 5 });
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts) expect(text).toMatch(/^[0-9+()]+$/);
  });
});

describe('grammars that cannot be', () => {
  test.each<[Constraint, string]>([
    [{ grammar: 'root ::= foo' }, 'Rule "foo" is not defined'],
    [{ grammar: 'x ::= "a"' }, 'root rule'],
    [{ grammar: `root ::= ${'('.repeat(20_000)}"a"${')'.repeat(20_000)}` }, 'cannot be compiled'],
    [{ grammar: 'root ::= [a' }, 'has no ]'],
    [{ grammar: 'root ::= [z-a]' }, 'runs backwards'],
    [{ grammar: 'root ::= []' }, 'no character'],
    [{ schema: { type: 'integer', multipleOf: 2 } }, 'multipleOf'],
    [{ regex: 'a(?=b)' }, 'looks ahead'],
  ])('%j is reported, and the next one works', async (constraint, message) => {
    await expect(open(constraint)).rejects.toMatchObject({ code: 'E_GRAMMAR', message: expect.stringContaining(message) as string });
    expect(await walk({ regex: 'abc' }, 'byteLevel', { count: 1 })).toEqual(['abc']);
  });

  test('one that explodes when it is compiled is stopped, while others go on', async () => {
    const { mask, grammar } = await open({ regex: 'a{3}' });
    const explosive = `root ::= ${Array.from({ length: 60 }, () => '("a"{0,60} | "b"{0,60})').join(' ')}`;
    await expect(open({ grammar: explosive, timeLimit: 300 })).rejects.toMatchObject({ code: 'E_GRAMMAR', message: expect.stringContaining('longer than 300 ms') as string });
    mask.accept(tokenizers.byteLevel.encode('a')[0]!);
    expect(mask.next().open).toBe(true);
    mask.close();
    grammar.release();
  });

  test('one that explodes when it is followed is stopped', async () => {
    const { mask, grammar } = await open({ grammar: 'root ::= a\na ::= a a | "a" | ""' }, 'byteLevel', 100);
    const a = tokenizers.byteLevel.encode('a')[0]!;
    const follow = () => {
      for (let i = 0; i < 2000; i++) {
        mask.next();
        mask.accept(a);
      }
    };
    expect(follow).toThrow(expect.objectContaining({ code: 'E_GRAMMAR', message: expect.stringMatching(/longer than 100 ms for it, after \d+ tokens/) as string }) as Error);
    mask.close();
    grammar.release(true);
  });

  test('one that leads nowhere is reported', async () => {
    const { mask, grammar } = await open({ grammar: 'root ::= a\na ::= b\nb ::= a' });
    expect(() => mask.next()).toThrow('allows no token and no end');
    mask.close();
    grammar.release();
  });

  test.each([{}, { schema: {}, regex: 'a' }, { regex: 5 }, { regex: 'a'.repeat(2 ** 20 + 1) }, { regex: 'a', timeLimit: 0 }, { regex: 'a', timeLimit: 600_001 }])('%j is no constraint', (constraint) => {
    expect(() => grammarSource(constraint as Constraint)).toThrow(expect.objectContaining({ code: 'E_OPTION' }) as Error);
  });
});

test('a grammar that comes while idle threads are being ended gets another one', async () => {
  const opened = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((regex) => open({ regex })));
  for (const { mask, grammar } of opened) {
    mask.close();
    grammar.release();
  }
  const later: Promise<void>[] = [];
  for (let i = 0; i < 40; i++) {
    // The same as before, and others.
    later.push(open({ regex: i % 2 === 0 ? 'abcdef'[i % 6]! : `x{${i}}` }).then(({ mask, grammar }) => {
      mask.close();
      grammar.release();
    }));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect((await Promise.allSettled(later)).filter(({ status }) => status === 'rejected')).toEqual([]);
}, 60_000);
