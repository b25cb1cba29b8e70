import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TextOutput } from './text-output.js';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-text-'))));
afterEach(() => rm(folder, { recursive: true }));

test('it is there when it is finished, in the order of writing, however long, and leaves nothing else', async () => {
  const path = join(folder, 'made', 'lines.txt');
  const lines = Array.from({ length: 3000 }, (_, i) => `${i} ${'é'.repeat(i % 90)}\n`);
  {
    await using output = await TextOutput.open(path);
    for (const line of lines) await output.write(line);
    expect(await readdir(join(folder, 'made'))).toEqual(['lines.txt.penjing']);
    await output.finish();
  }
  expect(await readFile(path, 'utf8')).toBe(lines.join(''));
  expect(await readdir(join(folder, 'made'))).toEqual(['lines.txt']);
});

test('what is not finished leaves nothing, and what was there stays', async () => {
  const path = join(folder, 'lines.txt');
  await writeFile(path, 'before');
  await expect(TextOutput.open(path)).rejects.toMatchObject({ code: 'E_EXISTS' });
  {
    await using output = await TextOutput.open(path, { force: true });
    await output.write('half of it');
    await expect(TextOutput.open(path, { force: true })).rejects.toMatchObject({ code: 'E_BUSY' });
  }
  expect(await readFile(path, 'utf8')).toBe('before');
  expect(await readdir(folder)).toEqual(['lines.txt']);
  {
    await using output = await TextOutput.open(path, { force: true });
    await output.finish();
  }
  expect(await readFile(path, 'utf8')).toBe('');
});

test('what appeared in the meantime is not replaced, and neither is a folder', async () => {
  const path = join(folder, 'lines.txt');
  await using output = await TextOutput.open(path);
  await output.write('late');
  await writeFile(path, 'other');
  await expect(output.finish()).rejects.toMatchObject({ code: 'E_EXISTS' });
  expect(await readFile(path, 'utf8')).toBe('other');
  await mkdir(join(folder, 'taken'));
  await using refused = await TextOutput.open(join(folder, 'taken'), { force: true });
  await expect(refused.finish()).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
});
