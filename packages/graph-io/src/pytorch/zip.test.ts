import { deflateRawSync } from 'node:zlib';
import { isPenjingError, memorySource } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ZipOptions, type ZipPart, zipBytes } from './testing/zip-bytes.js';
import { openZip } from './zip.js';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const open = (parts: readonly ZipPart[], options?: ZipOptions): ReturnType<typeof openZip> => openZip(memorySource(zipBytes(parts, options)));
const a: ZipPart = { name: 'm/a', data: text('alpha') };
const b: ZipPart = { name: 'm/b', data: text('beta') };

describe('a zip archive', () => {
  const part = fc.record({
    data: fc.uint8Array({ maxLength: 300 }), deflate: fc.boolean(), zip64: fc.boolean(), descriptor: fc.boolean(),
  });
  const options = fc.record({ zip64: fc.boolean(), align: fc.constantFrom(1, 64), comment: fc.uint8Array({ maxLength: 30 }) });

  test('gives back every entry, however it was written', async () => {
    await fc.assert(fc.asyncProperty(fc.array(part, { maxLength: 5 }), options, async (parts, how) => {
      const named = parts.map((one, i) => ({ ...one, name: `root/${i}`, deflated: one.deflate ? deflateRawSync(one.data) : undefined }));
      const source = memorySource(zipBytes(named, how));
      const zip = await openZip(source);
      expect([...zip.entries.keys()]).toEqual(named.map(({ name }) => name));
      for (const { name, data, deflate } of named) {
        expect(await zip.read(name)).toEqual(data);
        const entry = zip.entries.get(name)!;
        expect(entry).toMatchObject({ size: data.length, stored: !deflate });
        if (how.align === 64) expect(entry.offset % 64).toBe(0);
        if (!deflate) expect(await source.read(entry.offset, entry.size)).toEqual(data);
      }
    }));
  });

  test('leaves folders out', async () => {
    expect([...(await open([{ name: 'm/', data: text('') }, a])).entries.keys()]).toEqual(['m/a']);
  });

  test('does not read what it does not hold, or more than it may', async () => {
    const zip = await open([a]);
    await expect(zip.read('m/c')).rejects.toThrow(/holds no "m\/c"/);
    await expect(zip.read('m/a', 4)).rejects.toMatchObject({ code: 'E_LIMIT' });
  });
});

describe('tricks', () => {
  test.each<[string, readonly ZipPart[], ZipOptions, RegExp]>([
    ['bytes in front', [a], { prefix: text('#!/bin/sh\n') }, /10 bytes stand in front/],
    ['an entry twice', [a, b, a], {}, /"m\/a" stands in it twice/],
    ['two entries in one place', [a, { ...b, lie: { offset: 0 } }], {}, /has another name/],
    ['one entry under two names', [a, { ...a, name: 'm/b', lie: { name: 'm/a', offset: 0 } }], {}, /overlap/],
    ['a name that only the directory says', [{ ...a, lie: { name: 'm/x' } }], {}, /"m\/x" has another name/],
    ['a size that only the directory says', [{ ...a, lie: { size: 4, storedSize: 4 } }], {}, /another size/],
    ['a size beyond the file', [{ ...a, descriptor: true, lie: { size: 1e6, storedSize: 1e6 } }], {}, /does not fit/],
    ['a size beyond any file', [{ ...a, zip64: true, descriptor: true, lie: { size: 2 ** 53, storedSize: 2 ** 53 } }], {}, /declares 9007199254740992/],
    ['two sizes of stored bytes', [{ ...a, descriptor: true, lie: { size: 3 } }], {}, /two sizes/],
    ['an offset outside', [{ ...a, lie: { offset: 5000 } }], {}, /outside the archive/],
    ['an offset at nothing', [a, { ...b, lie: { offset: 3 } }], {}, /no header where "m\/b" should start/],
    ['encryption', [{ ...a, lie: { flags: 1 } }], {}, /"m\/a" is encrypted/],
    ['another method', [{ ...a, lie: { method: 12 } }], {}, /method 12/],
    ['a method that only the directory says', [{ ...a, lie: { method: 8 } }], {}, /another way/],
    ['more entries than fit', [a], { count: 2000 }, /no room for 2000 entries/],
    ['fewer entries than there are', [a, b], { count: 1 }, /bytes more than its 1 entries/],
    ['a billion entries', [a], { count: 1e9, zip64: true }, /declares 1000000000 entries/],
  ])('%s: refused by name', async (_, parts, options, message) => {
    await expect(open(parts, options)).rejects.toThrow(message);
  });

  test('an entry that inflates to more or less than it declares', async () => {
    const data = new Uint8Array(1000);
    const big = { name: 'm/a', data, deflated: deflateRawSync(data), descriptor: true };
    for (const size of [10, 2000]) {
      const zip = await open([{ ...big, lie: { size } }]);
      await expect(zip.read('m/a')).rejects.toThrow(/inflate/);
    }
  });

  test('anything made of an archive opens or is refused in words', async () => {
    const sound = zipBytes([a, { ...b, deflated: deflateRawSync(b.data), zip64: true }, { name: 'm/c', data: new Uint8Array(70), descriptor: true }], { zip64: true, align: 64 });
    const edits = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 6 });
    await fc.assert(fc.asyncProperty(edits, fc.nat(sound.length), async (changes, cut) => {
      const bytes = sound.slice(0, cut || sound.length);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      try {
        const zip = await openZip(memorySource(bytes));
        for (const name of zip.entries.keys()) await zip.read(name);
      } catch (error) {
        if (!isPenjingError(error)) throw error;
      }
    }), { numRuns: 500 });
  });
});
