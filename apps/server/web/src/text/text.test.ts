import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { language } from '../state/settings.js';
import { dictionaries, isTextKey, say, sayBytes, sayNumber, type TextKey } from './text.js';

const keys = Object.keys(dictionaries.en) as TextKey[];
const placeholders = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();

afterEach(() => {
  language.value = 'en';
});

describe('the dictionary', () => {
  test('both languages have the same keys with the same values to fill in, and none is empty', () => {
    expect(Object.keys(dictionaries.zh).sort()).toEqual([...keys].sort());
    for (const key of keys) {
      expect(dictionaries.zh[key].trim(), key).not.toBe('');
      expect(placeholders(dictionaries.zh[key]), key).toEqual(placeholders(dictionaries.en[key]));
    }
  });

  test('Chinese is Chinese: only names and signs are the same in both', () => {
    const same = keys.filter((key) => dictionaries.zh[key] === dictionaries.en[key]);
    expect(same).toEqual(['param.topP', 'param.topK', 'tensor.image.rgb', 'tensor.image.bgr', 'monitor.memory.unit']);
  });

  test('every key is used, by its name or by a prefix', () => {
    const sources = readdirSync(join(import.meta.dirname, '..'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name) && !/(\.test|\/en|\/zh)\.ts$/.test(name))
      .map((name) => readFileSync(join(import.meta.dirname, '..', name), 'utf8'))
      .join('\n');
    const used = (key: string): boolean => sources.includes(`'${key}'`) || [...key.matchAll(/\./g)].some(({ index }) => sources.includes(`\`${key.slice(0, index + 1)}$`));
    expect(keys.filter((key) => !used(key))).toEqual([]);
  });

  test('words follow the language', () => {
    expect(say('models.count', { ready: 1, all: 2 })).toBe('1 of 2 ready');
    language.value = 'zh';
    expect(say('models.count', { ready: 1, all: 2 })).toBe('2 个中 1 个就绪');
    expect(isTextKey('state.READY')).toBe(true);
    expect(isTextKey('state.GONE')).toBe(false);
  });

  test('sizes and numbers are short', () => {
    expect([0, 999, 1000, 1_234_567, 9.995e9].map(sayBytes)).toEqual(['0 B', '999 B', '1.00 kB', '1.23 MB', '9.99 GB']);
    expect([0, 0.00001234, 0.1234, 12.345, 1234.5, -3.14159, Infinity, Number.NaN].map((value) => sayNumber(value))).toEqual(['0', '1.23e−5', '0.123', '12.3', '1,235', '−3.14', '∞', 'NaN']);
  });
});
