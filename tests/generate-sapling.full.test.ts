/** The embedded model writes JSON that its schema allows, and the same text with guessed tokens as without. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Generator, loadGenerator } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { penjing } from './support/penjing-process.js';

const sapling = fileURLToPath(new URL('../models/sapling', import.meta.url));
let folder: string;
let generator: Generator;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-generate-'));
  const { code, stderr } = await penjing(['convert', sapling, '-o', join(folder, 'model')]);
  expect(code, stderr).toBe(0);
  generator = await loadGenerator(join(folder, 'model'), { threads: 1 });
}, 120_000);
afterAll(async () => {
  await generator[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test.each([0, 1])('a schema holds at temperature %d', { timeout: 120_000 }, async (temperature) => {
  const schema = { type: 'object', properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 130 }, kin: { type: 'array', items: { enum: ['king', 'queen'] }, maxItems: 3 } }, required: ['name', 'age', 'kin'] };
  for (const { text, finishReason } of await generator.choices('A person: ', 4, { constrain: { schema }, temperature, seed: 3, maxNewTokens: 300 })) {
    expect(finishReason).toBe('end');
    const { name, age, kin } = JSON.parse(text) as { name: string; age: number; kin: string[] };
    expect([...name].length).toBeLessThanOrEqual(20);
    expect(Number.isInteger(age) && age >= 0 && age <= 130).toBe(true);
    expect(kin.length <= 3 && kin.every((one) => one === 'king' || one === 'queen')).toBe(true);
  }
});

test('guessed tokens change no text, alone and beside others', { timeout: 120_000 }, async () => {
  const prompts = ['First Citizen:', 'And the LORD said unto Moses, And the LORD said', 'It is a truth universally acknowledged'];
  const options = { maxNewTokens: 80, ignoreEndToken: true };
  const plain: string[] = [];
  for (const prompt of prompts) plain.push((await generator.generate(prompt, options)).text);
  const draft = join(folder, 'model');
  for (const speculate of [{ ngram: 2, tokens: 6 }, { draft, tokens: 3 }]) {
    const together = await Promise.all(prompts.flatMap((prompt) => [generator.generate(prompt, { ...options, speculate }), generator.generate(prompt, options)]));
    expect(together.map(({ text }) => text)).toEqual(plain.flatMap((text) => [text, text]));
  }
});
