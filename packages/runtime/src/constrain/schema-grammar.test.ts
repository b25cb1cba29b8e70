import { describe, expect, test } from 'vitest';
import { integerRange } from './integer-range.js';
import { parseRegex } from './regex.js';
import { regexGrammar } from './regex-grammar.js';
import { schemaGrammar } from './schema-grammar.js';

/** The texts of an expression of `integerRange`, which is regular, as JavaScript reads it. */
const asRegExp = (text: string): RegExp => new RegExp(`^(${text.replaceAll('"', '').replaceAll(' ', '')})$`);

describe('whole numbers within limits', () => {
  test.each([[0, 0], [0, 9], [3, 5], [0, 10], [7, 123], [-5, 5], [-120, -7], [99, 1001], [-1000, 0], [-10, 1], [250, 260], [-99, -99]])('%i to %i', (low, high) => {
    const pattern = asRegExp(integerRange(BigInt(low), BigInt(high))!);
    for (let value = -1500; value <= 1500; value++) expect(pattern.test(String(value)), String(value)).toBe(value >= low && value <= high);
    for (const wrong of ['-0', '00', '01', '+1', '']) expect(pattern.test(wrong)).toBe(false);
  });

  test('without a limit there are 15 digits', () => {
    expect(asRegExp(integerRange(18n, undefined)!).test('999999999999999')).toBe(true);
    expect(asRegExp(integerRange(18n, undefined)!).test('17')).toBe(false);
    expect(asRegExp(integerRange(undefined, -3n)!).test('-3')).toBe(true);
    expect(integerRange(2n, 1n)).toBeUndefined();
  });
});

describe('patterns', () => {
  test.each(['(', ')', '[a', 'a{2', '*a', 'a**', '(?=a)', '(?<!a)', '(?i:a)', '\\1', '\\bx', '\\k<a>', 'a^b', 'a$b', '^a|b$', '[z-a]', '\\u{110000}', '\\ud800', 'a{3,2}', 'a{10001}', `${'('.repeat(101)}${')'.repeat(101)}`, '[^\\s\\S]', 'a\\'])('%s is refused with its place', (pattern) => {
    expect(() => regexGrammar(pattern)).toThrow(expect.objectContaining({ code: 'E_GRAMMAR' }) as Error);
  });

  test.each(['^a$', 'a|b', '(?:a|b)+?', '[\\d\\-x]{2,}', '(?<year>\\d{4})', '\\u{1F600}\\x41\\n', '[^"]*', ''])('%s is read', (pattern) => {
    expect(parseRegex(pattern).regex).toBeDefined();
    expect(regexGrammar(pattern)).toMatch(/^root ::= /);
  });
});

describe('schemas', () => {
  test.each<[unknown, string]>([
    [{ not: {} }, 'says not'],
    [{ type: 'integer', multipleOf: 3 }, 'says multipleOf'],
    [{ type: 'array', uniqueItems: true }, 'says uniqueItems'],
    [{ properties: { a: { type: 'nope' } } }, '#/properties/a has the type "nope"'],
    [{ $ref: '#/$defs/a' }, 'which is not there'],
    [{ $ref: 'http://x/y' }, 'references must be into the schema itself'],
    [{ $ref: '#' }, 'refers to itself'],
    [{ $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }, 'refers to itself'],
    [{ type: 'object', required: ['z'], properties: {}, additionalProperties: false }, 'requires "z"'],
    [{ type: 'number', minimum: 0.5 }, 'whole limits'],
    [{ type: 'number', minimum: 3, exclusiveMaximum: 3 }, 'allows no number'],
    [{ type: 'integer', minimum: 3, maximum: 2 }, 'allows no number'],
    [{ type: 'integer', exclusiveMinimum: 2, exclusiveMaximum: 3 }, 'allows no number'],
    [{ oneOf: [{ type: 'string' }, { type: 'string', maxLength: 2 }] }, 'not plainly apart'],
    [{ oneOf: [{ type: 'number' }, { type: 'integer' }] }, 'not plainly apart'],
    [{ type: 'string', pattern: 'a', maxLength: 3 }, 'two of pattern, format and length'],
    [{ type: 'string', minLength: 3, maxLength: 2 }, 'allows no string'],
    [{ type: 'string', minLength: -1 }, 'from 0 to 10000'],
    [{ enum: ['a'], type: 'integer' }, 'no value that fits'],
    [{ allOf: [{ type: 'string' }, { type: 'null' }] }, 'allows no type'],
    [{ allOf: [{ properties: { a: {} }, additionalProperties: false }, { properties: { b: {} } }] }, 'joins properties'],
    [false, 'nothing satisfies'],
    ['text', 'a schema is an object'],
    [null, 'a schema is an object'],
    [{ anyOf: [] }, 'a list of schemas'],
  ])('%j is refused', (schema, message) => {
    expect(() => schemaGrammar(schema)).toThrow(expect.objectContaining({ code: 'E_GRAMMAR', message: expect.stringContaining(message) as string }) as Error);
  });

  test('what is deep or long is refused in bounded time', () => {
    let deep: unknown = {};
    for (let i = 0; i < 1000; i++) deep = { items: deep, prefixItems: [deep] };
    expect(() => schemaGrammar(deep)).toThrow('within each other');
    expect(() => schemaGrammar({ enum: [1], properties: { a: 1 } })).toThrow('lists values');
    expect(() => schemaGrammar({ properties: Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [`p${i}`, {}])) })).toThrow('rules');
  });
});
