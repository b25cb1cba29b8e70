import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readText } from './data-text.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-data-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function read(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(join(folder, name), content);
  return readText(join(folder, name));
}

test('plain text as it is, without a byte order mark', async () => {
  expect(await read('a.txt', '\ufeffCafé\n盆景')).toBe('Café\n盆景');
});

test('the texts of .jsonl, blank lines skipped', async () => {
  expect(await read('a.jsonl', '{"text":"one","id":1}\n\n{"text":"two"}\r\n')).toBe('one\ntwo');
});

test.each([
  ['bad.jsonl', '{"text":"one"}\n{', /bad\.jsonl:2 is not JSON/],
  ['none.jsonl', '{"body":"one"}', /none\.jsonl:1 has no "text"/],
  ['list.jsonl', '["one"]', /has no "text"/],
  ['binary.txt', Uint8Array.of(80, 75, 0, 1), /is no text/],
])('%s names what is wrong', async (name, content, message) => {
  const error = read(name, content);
  await expect(error).rejects.toMatchObject({ code: 'E_DATA' });
  await expect(error).rejects.toThrow(message);
});

test('what is not there, and folders', async () => {
  await expect(readText(join(folder, 'missing'))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(readText(folder)).rejects.toMatchObject({ code: 'E_DATA' });
});
