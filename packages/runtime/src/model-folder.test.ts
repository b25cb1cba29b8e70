import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { locateModel } from './model-folder.js';
import { writeModelFolder } from './testing/model-folder.js';
import { tinyDecoder } from './testing/tiny-decoder.js';

let folder: string;
beforeAll(async () => {
  folder = await writeModelFolder({ '': tinyDecoder({ context: 8 }), _q4: tinyDecoder({ context: 8 }) });
  await writeFile(join(folder, 'alone.onnx'), '');
});
afterAll(() => rm(folder, { recursive: true }));

test('a file that is one of the variants of a folder leads to the others', async () => {
  const plain = await locateModel(folder);
  const small = await locateModel(folder, 'q4');
  expect(small.path).not.toBe(plain.path);
  expect(await locateModel(plain.path, 'q4')).toEqual(small);
  expect(await locateModel(small.path)).toEqual(small);
  await expect(locateModel(plain.path, 'q8')).rejects.toMatchObject({ code: 'E_NOT_FOUND', hint: expect.stringContaining('q4') as string });
});

test('a file of any other name has no variants: what was asked for is not silently the same file', async () => {
  const alone = join(folder, 'alone.onnx');
  expect((await locateModel(alone)).path).toBe(alone);
  await expect(locateModel(alone, 'q4')).rejects.toMatchObject({ code: 'E_NOT_FOUND', message: expect.stringContaining('no variant q4') as string });
});
