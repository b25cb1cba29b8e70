/** `penjing generate --batch` as its user sees it. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeModelFolder } from '../../../packages/runtime/src/testing/model-folder.js';
import { packedDecoder } from '../../../packages/runtime/src/testing/packed-decoder.js';
import { runCaptured as penjing } from './testing/run-captured.js';

let folder: string;
let prompts: string;
beforeAll(async () => {
  folder = await writeModelFolder({ '': packedDecoder({ words: 32 }) });
  prompts = join(folder, 'prompts.jsonl');
  await writeFile(prompts, '"one"\n{"prompt":"two","seed":3,"id":"second"}\n');
});
afterAll(() => rm(folder, { recursive: true }));

const sampling = ['-n', '6', '--temperature', '1.3', '--threads', '1'];

test('results are lines on stdout, or in a file, each with the text that the prompt has alone', async () => {
  const { code, stdout } = await penjing('generate', folder, '--batch', prompts, ...sampling, '--seed', '5', '--quiet');
  expect(code).toBe(0);
  const records = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { text: string; id?: string });
  expect(records.map(({ id }) => id)).toEqual([undefined, 'second']);
  const alone = await penjing('generate', folder, '-p', 'two', ...sampling, '--seed', '3', '--json');
  expect(records[1]!.text).toBe((JSON.parse(alone.stdout) as { text: string }).text);
  const output = join(folder, 'texts.jsonl');
  const filed = await penjing('generate', folder, '--batch', prompts, ...sampling, '--seed', '5', '-o', output, '--json', '--max-concurrent', '1');
  expect(JSON.parse(filed.stdout)).toMatchObject({ prompts: 2, failed: 0, newTokens: 12, output });
  expect(await readFile(output, 'utf8')).toBe(stdout);
  expect(await penjing('generate', folder, '--batch', prompts, '-o', output)).toMatchObject({ code: 1, stderr: expect.stringContaining('E_EXISTS') as string });
  expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
});

test('prompts that fail are told by the exit code, beside those that do not', async () => {
  const path = join(folder, 'wrong.jsonl');
  await writeFile(path, '"fine"\n{"prompt":"a","temperature":-1}\n');
  const output = join(folder, 'some.jsonl');
  const { code, stdout } = await penjing('generate', folder, '--batch', path, '-n', '3', '-o', output, '--json');
  expect([code, JSON.parse(stdout)]).toEqual([1, expect.objectContaining({ prompts: 2, failed: 1, error: expect.objectContaining({ code: 'E_BATCH' }) as object })]);
  expect(await readFile(output, 'utf8')).toMatch(/"finishReason".*\n.*"error":\{"code":"E_OPTION"/);
});

test.each([
  [['--batch', 'x.txt', '-p', 'a'], '--prompt means nothing with --batch'],
  [['--batch', 'x.txt', '--choices', '2'], '--choices means nothing with --batch'],
  [['--max-concurrent', '2'], '--max-concurrent means nothing without --batch'],
  [['--batch', 'x.txt', '--json'], '--json prints one object'],
])('%j is refused', async (more, message) => {
  const { code, stdout, stderr } = await penjing('generate', folder, ...more);
  expect(code).toBe(1);
  expect(stdout + stderr).toContain(message);
});
