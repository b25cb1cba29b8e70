/** A shelf that jobs of several machines fill, some of them twice. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { denseOf, toDense } from '@penjing/core';
import { keptResult } from '../worker/kept-result.js';
import { folderShelf, openShelfAt } from './folder-shelf.js';
import { spilledTensor, type StoredTensor } from './stored-tensor.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-shelf-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test('what is put down once more can be read by who opened it before; another is another', async () => {
  const shelf = await openShelfAt(join(folder, 'shelf'));
  await shelf.put('part 0', denseOf('float32', [2], [1, 2]));
  const { reference } = await shelf.refer('part 0');
  const opened = await spilledTensor(reference as Extract<StoredTensor, { kind: 'shelved' }>);
  // Long after, as a worker that was away: clocks of files are coarse.
  await new Promise((resolve) => setTimeout(resolve, 20));
  await shelf.put('part 0', denseOf('float32', [2], [1, 2]));
  expect([...(await toDense(opened)).data]).toEqual([1, 2]);
  await shelf.put('part 0', denseOf('float32', [2], [1, 3]));
  expect([...(await shelf.get('part 0')).data]).toEqual([1, 3]);
});

test('the folder of a run that is over does not come back', async () => {
  const gone = join(folder, 'gone');
  await expect(folderShelf(gone).put('x', denseOf('float32', [1], [1]))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(keptResult(join(gone, 'results'), { name: 'job', seed: undefined, threads: 1, versions: [] }, 1)!.write('output')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  expect(existsSync(gone)).toBe(false);
});
