/** Direct writes: the bytes land where they should, whatever the offsets, and small files go through the cache. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { DirectWriter, type Handed } from './direct-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-direct-'));
afterAll(() => rmSync(folder, { recursive: true }));
const SIZE = 24 * 2 ** 20;

/** Neighbouring stretches that cover the file, written in another order; gives what each call said. */
async function writeAll(writer: DirectWriter, cuts: readonly number[], seed: number): Promise<{ read: Buffer; wanted: Buffer; handed: Handed[] }> {
  const path = join(folder, 'file');
  const file = openSync(path, 'w+');
  ftruncateSync(file, SIZE);
  const wanted = Buffer.alloc(SIZE);
  for (let i = 0; i < SIZE; i += 4) wanted.writeInt32LE(Math.imul(i + seed, 2654435761), i);
  const bounds = [0, ...[...cuts].sort((a, b) => a - b), SIZE];
  const order = bounds.slice(1).map((end, i) => [bounds[i]!, end] as const).sort(([a], [b]) => ((a * 7919) % 8192) - ((b * 7919) % 8192));
  const handed: Handed[] = [];
  try {
    for (const [start, end] of order) {
      const bytes = Uint8Array.from(wanted.subarray(start, end));
      handed.push(await writer.write(() => file, path, bytes, start));
      bytes.fill(0); // it may be reused now
    }
    await Promise.all(handed.map(({ done }) => done));
    writer.forget([path]);
  } finally {
    closeSync(file);
  }
  return { read: readFileSync(path), wanted, handed };
}

test('stretches of any size at any offset land in their places', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(SIZE), { maxLength: 6 }), fc.nat(1000), async (cuts, seed) => {
      const { read, wanted } = await writeAll(new DirectWriter(0), cuts, seed);
      expect(read.equals(wanted)).toBe(true);
    }),
    { numRuns: 12 },
  );
});

test('a small file stays in the cache', async () => {
  const { read, wanted, handed } = await writeAll(new DirectWriter(), [5000, 1_000_000], 1);
  expect(read.equals(wanted)).toBe(true);
  expect(handed.reduce((sum, { cached }) => sum + cached, 0)).toBe(SIZE);
});

test('a file that cannot be written rejects', async () => {
  const path = join(folder, 'locked');
  const file = openSync(path, 'w');
  ftruncateSync(file, SIZE);
  closeSync(file);
  const reader = openSync(path, 'r');
  try {
    const writing = (async () => (await new DirectWriter().write(() => reader, path, new Uint8Array(10), 5)).done)();
    await expect(writing).rejects.toMatchObject({ code: 'E_IO' });
  } finally {
    closeSync(reader);
  }
});
