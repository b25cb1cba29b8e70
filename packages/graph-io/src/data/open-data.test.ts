/** Readers of data: what each gives, and hostile files. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync, gzipSync } from 'node:zlib';
import { isPenjingError } from '@penjing/core';
import fc from 'fast-check';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dataLimits } from '../limits.js';
import { zipBytes } from '../pytorch/testing/zip-bytes.js';
import type { DataItem } from './data-source.js';
import { openData } from './open-data.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-data-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function items(path: string, options = {}): Promise<DataItem[]> {
  await using source = await openData(path, options);
  const all: DataItem[] = [];
  for (let i = 0; i < source.count; i++) all.push(await source.item(i));
  return all;
}

function idx(type: number, shape: readonly number[], data: readonly number[]): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head[2] = type;
  head[3] = shape.length;
  shape.forEach((dim, i) => head.writeUInt32BE(dim, 4 + 4 * i));
  return Buffer.concat([head, Buffer.from(data)]);
}

function npy(descr: string, shape: readonly number[], data: Uint8Array, order = 'False'): Buffer {
  const text = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`, 'latin1');
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  return Buffer.concat([head, header, data]);
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const valuesOf = (item: DataItem, name = ''): number[] => (item.kind === 'tensors' ? Array.from(item.tensors.get(name)!.data as ArrayLike<number>) : []);

function wav(bits: number, channels: number, values: readonly number[]): Buffer {
  const width = bits / 8;
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(channels, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt16LE(bits, 34);
  head.write('data', 36);
  head.writeUInt32LE(values.length * width, 40);
  const data = Buffer.alloc(values.length * width);
  values.forEach((value, i) => data.writeIntLE(value, i * width, width));
  return Buffer.concat([head, data]);
}

function png(width: number, height: number, rgba: readonly number[], colorType: 0 | 2 = 2): Buffer {
  const picture = new PNG({ width, height });
  picture.data = Buffer.from(rgba);
  return PNG.sync.write(picture, { colorType });
}

describe('openData', () => {
  test('IDX with labels beside it, packed or not, and parts of it', async () => {
    const path = await file('digits-images-idx3-ubyte.gz', gzipSync(idx(8, [3, 2, 2], Array.from({ length: 12 }, (_, i) => i))));
    await file('digits-labels-idx1-ubyte', idx(8, [3], [7, 0, 9]));
    const all = await items(path);
    expect(all.map(({ label }) => label)).toEqual([7, 0, 9]);
    expect(all[1]).toMatchObject({ kind: 'picture', picture: { width: 2, height: 2, channels: 1, data: Uint8Array.of(4, 5, 6, 7) } });
    expect((await items(`${path}#1:`)).map(({ label }) => label)).toEqual([0, 9]);
    await expect(openData(`${path}#3:9`)).rejects.toMatchObject({ code: 'E_DATA' });
    const [whole, part] = [await openData(path), await openData(`${path}#0:2`)];
    expect(whole.hash).not.toBe(part.hash);
    expect(valuesOf((await items(await file('x-idx2', idx(0x0b, [1, 2], [0x01, 0x02, 0xff, 0xfe]))))[0]!)).toEqual([258, -2]);
    await file('digits-labels-idx1-ubyte', idx(8, [2], [7, 0]));
    await expect(openData(path)).rejects.toThrow(/2 labels for 3 items/);
  });

  test('NumPy arrays, one or many', async () => {
    expect((await items(await file('x.npy', npy('<f4', [2, 2], floats(1, 2, 3, 4))))).map((item) => valuesOf(item))).toEqual([[1, 2], [3, 4]]);
    const zip = zipBytes([{ name: 'a.npy', data: npy('<f4', [2, 1], floats(5, 6)) }, { name: 'b.npy', data: npy('|u1', [2], Uint8Array.of(8, 9)) }, { name: 'label.npy', data: npy('<i4', [2], new Uint8Array(Int32Array.of(3, 4).buffer)) }]);
    const all = await items(await file('x.npz', zip));
    expect(all.map((item) => [valuesOf(item, 'a'), valuesOf(item, 'b'), item.label])).toEqual([[[5], [8], 3], [[6], [9], 4]]);
    for (const bad of [npy('|O', [1], Uint8Array.of(1)), npy('>f4', [1], floats(1)), npy('<f4', [2, 2], floats(1, 2, 3, 4), 'True'), npy('<f4', [5], floats(1)), npy("<f4', 'x': '", [1], floats(1))]) {
      await expect(openData(await file('bad.npy', bad))).rejects.toMatchObject({ code: 'E_DATA' });
    }
    await expect(openData(await file('bad.npz', zipBytes([{ name: 'a.npy', data: npy('<f4', [2], floats(1, 2)) }, { name: 'b.npy', data: npy('<f4', [1], floats(1)) }])))).rejects.toThrow(/first dimension/);
  });

  test('JSON lines of texts and of arrays', async () => {
    expect(await items(await file('a.jsonl', '{"text": "one", "label": "b"}\n\n{"text": "two", "label": "a"}\n'))).toEqual([{ kind: 'text', text: 'one', label: 1 }, { kind: 'text', text: 'two', label: 0 }]);
    const [item] = await items(await file('b.jsonl', '{"x": [[1, 2], [3, 4]], "flag": true}'));
    expect([valuesOf(item!, 'x'), valuesOf(item!, 'flag')]).toEqual([[1, 2, 3, 4], [1]]);
    for (const bad of ['{"x": [1, [2]]}', '{"x": ["a"]}', '{}', `{"x": ${'['.repeat(40)}${']'.repeat(40)}}`]) {
      await expect(items(await file('c.jsonl', bad))).rejects.toMatchObject({ code: expect.stringMatching(/E_DATA|E_LIMIT/) as string });
    }
    await expect(openData(await file('d.jsonl', 'nonsense'))).rejects.toThrow(/d.jsonl:1 is not JSON/);
  });

  test('tables of texts and of numbers', async () => {
    const path = await file('t.csv', 'text,category\n"a, ""b""",lost\nc,found\n');
    expect(await items(path)).toEqual([{ kind: 'text', text: 'a, "b"', label: 1 }, { kind: 'text', text: 'c', label: 0 }]);
    const numbers = await file('n.csv', 'a,b,label\n1,2,0\n3,4.5,1\n');
    expect((await items(numbers)).map((item) => [valuesOf(item), item.label])).toEqual([[[1, 2], 0], [[3, 4.5], 1]]);
    expect(valuesOf((await items(numbers, { columns: ['b'] }))[1]!)).toEqual([4.5]);
    await expect(openData(numbers, { columns: ['z'] })).rejects.toThrow(/no column z but a, b, label/);
    await expect(openData(await file('u.csv', 'a,b\n1\n'))).rejects.toMatchObject({ code: 'E_DATA' });
  });

  test('sounds', async () => {
    const [item] = await items(await file('s.wav', wav(16, 2, [16384, 0, -32768, -32768])));
    expect(item).toMatchObject({ kind: 'sound', sound: { rate: 8000, samples: Float32Array.of(0.25, -1) } });
    const odd = wav(16, 1, [1]);
    odd.writeUInt16LE(6, 20);
    await expect(openData(await file('o.wav', odd))).rejects.toThrow(/encoding 6/);
  });

  test('folders of pictures, a sub-folder per class', async () => {
    await file('pets/dog/1.png', png(2, 1, [255, 0, 0, 255, 0, 255, 0, 255]));
    await file('pets/cat/a.jpeg', jpeg.encode({ width: 8, height: 8, data: Buffer.alloc(256, 128) }, 90).data);
    await file('pets/cat/notes.txt', 'no picture');
    await using source = await openData(join(folder, 'pets'));
    expect([source.count, source.labelled, source.classes]).toEqual([2, true, ['cat', 'dog']]);
    expect(await source.item(1)).toMatchObject({ label: 1, picture: { width: 2, height: 1, channels: 3, data: Uint8Array.of(255, 0, 0, 0, 255, 0) } });
    expect((await source.item(0)).label).toBe(0);
    const [grey] = await items(await file('grey.png', png(1, 1, [9, 9, 9, 255], 0)));
    expect(grey).toMatchObject({ kind: 'picture', picture: { channels: 1, data: Uint8Array.of(9) } });
    await mkdir(join(folder, 'empty'));
    await expect(openData(join(folder, 'empty'))).rejects.toThrow(/no PNG or JPEG/);
  });

  test('refuses pictures that claim or unpack to too much', async () => {
    const huge = png(1, 1, [1, 2, 3, 4]);
    huge.writeUInt32BE(1 << 20, 16);
    huge.writeUInt32BE(1 << 20, 20);
    await expect(items(await file('huge.png', huge))).rejects.toMatchObject({ code: 'E_LIMIT' });
    const bomb = deflateSync(Buffer.alloc(1 << 24));
    const head = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000001', 'hex');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bomb.length);
    const path = await file('bomb.png', Buffer.concat([head, Buffer.alloc(4), length, Buffer.from('IDAT'), bomb, Buffer.alloc(4)]));
    await expect(items(path)).rejects.toMatchObject({ code: 'E_DATA' });
    expect(dataLimits.fileBytes).toBeGreaterThan(1 << 24);
  });

  test('whatever the bytes are, a typed error or items, soon', async () => {
    const seeds = [idx(8, [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]), npy('<f4', [2], floats(1, 2)), wav(16, 1, [1, 2, 3]), png(2, 2, Array.from({ length: 16 }, (_, i) => i)), zipBytes([{ name: 'a.npy', data: npy('<f4', [2], floats(1, 2)) }]), jpeg.encode({ width: 8, height: 8, data: Buffer.alloc(256, 77) }, 90).data, gzipSync('text')];
    await fc.assert(
      fc.asyncProperty(fc.nat(seeds.length - 1), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.nat(), async (which, edits, cut) => {
        const bytes = Uint8Array.from(seeds[which]!);
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        const path = await file('fuzz', bytes.subarray(0, bytes.length - (cut % 3 === 0 ? cut % bytes.length : 0)));
        try {
          await items(path);
        } catch (error) {
          if (!isPenjingError(error)) throw error;
        }
      }),
      { numRuns: 400, seed: 11 },
    );
  });
});
