/** Spills are there once, whole, and stay what their readers know. */
import { existsSync } from 'node:fs';
import fs, { link, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fileSource } from './file-source.js';
import { placeFile } from './place-file.js';
import { writeSpill } from './spill.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-spill-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Has the next file written after this. */
function delayWrite(wait: () => Promise<void>): void {
  const real = fs.writeFile;
  const put = (write: typeof real): void => {
    fs.writeFile = write;
    syncBuiltinESMExports();
  };
  put(async (...args) => {
    put(real);
    await wait();
    return real(...args);
  });
}

test('the same bytes from another that was late leave the file to those who read it by then', async () => {
  const spills = join(folder, 'spills');
  const bytes = Uint8Array.of(1, 2, 3);
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  // It has looked, and found no file.
  const reached = new Promise<void>((resolve) => {
    delayWrite(async () => {
      resolve();
      await released;
    });
  });
  const late = writeSpill(spills, bytes);
  await reached;
  const path = await writeSpill(spills, bytes);
  await using source = await fileSource(path);
  // clocks of files are coarse
  await new Promise((resolve) => setTimeout(resolve, 20));
  release();
  expect(await late).toBe(path);
  expect(await source.read(1, 2)).toEqual(bytes.subarray(1));
  expect(await readdir(spills)).toHaveLength(1);
});

test('a file that holds the same keeps its time, any other is replaced', async () => {
  const path = join(folder, 'placed');
  await placeFile(path, [Uint8Array.of(1, 2), Uint8Array.of(3)]);
  const before = await stat(path, { bigint: true });
  await placeFile(path, [Uint8Array.of(1), Uint8Array.of(2, 3)]);
  const after = await stat(path, { bigint: true });
  expect([after.ino, after.mtimeNs]).toEqual([before.ino, before.mtimeNs]);
  for (const other of [Uint8Array.of(1, 2, 4), Uint8Array.of(1, 2), Uint8Array.of()]) {
    await placeFile(path, [other]);
    await using source = await fileSource(path);
    expect(await source.read(0, source.size)).toEqual(other);
  }
  expect((await readdir(folder)).filter((name) => name.startsWith('placed'))).toEqual(['placed']);
});

test('what a crash left half written is replaced', async () => {
  const bytes = Uint8Array.of(5, 6, 7);
  const path = await writeSpill(join(folder, 'halves'), bytes);
  await writeFile(path, bytes.subarray(0, 2));
  expect(await writeSpill(join(folder, 'halves'), bytes)).toBe(path);
  expect((await stat(path)).size).toBe(3);
});

test('a work folder that is gone does not come back', async () => {
  await expect(writeSpill(join(folder, 'gone', 'spills'), Uint8Array.of(1))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  expect(existsSync(join(folder, 'gone'))).toBe(false);
});

test('a draft that was left behind by who was killed is no second name of the file for ever', async () => {
  const path = join(folder, 'killed');
  await placeFile(path, [Uint8Array.of(7)]);
  await link(path, `${path}.a-draft`);
  await writeFile(`${path}.another`, Uint8Array.of(8));
  await placeFile(path, [Uint8Array.of(7)]);
  expect((await stat(path)).nlink).toBe(1);
  expect(existsSync(`${path}.another`)).toBe(true);
});
