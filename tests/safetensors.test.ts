/** safetensors: round trips of every element type, files of the reference writer, shards. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteSize, type Checkpoint, DenseTensor, dtypes, dtypeNames, elementCount, lazy, memorySource, type Tensor } from '@penjing/core';
import { layoutToBytes, openSafetensors, openSafetensorsIndex, safetensorsLayout } from '@penjing/graph-io';
import { createPool, fileSource, type Pool, saveFile, saveLayouts } from '@penjing/graph-io/node';

const DATA = fileURLToPath(new URL('../../shared/data', import.meta.url));
const storable = dtypeNames.filter((dtype) => 'safetensors' in dtypes[dtype]);

const tensor = fc
  .record({ dtype: fc.constantFrom(...storable), shape: fc.array(fc.nat(5), { maxLength: 4 }), seed: fc.integer() })
  .filter(({ dtype, shape }) => (elementCount(shape) * dtypes[dtype].bits) % 8 === 0)
  .map(({ dtype, shape, seed }) => {
    const bytes = Uint8Array.from({ length: byteSize(dtype, elementCount(shape)) }, (_, i) => (seed + i * 37) & 0xff);
    return new DenseTensor(dtype, shape, bytes);
  });
const text = fc.string({ unit: 'binary', maxLength: 12 });
const checkpoint = fc.record({
  tensors: fc.dictionary(text.filter((name) => name !== '__metadata__'), tensor, { maxKeys: 12 }).map((entries) => new Map(Object.entries(entries))),
  metadata: fc.dictionary(text, text, { maxKeys: 3 }).map((entries) => new Map(Object.entries(entries))),
});

async function expectSame(a: Checkpoint, b: Checkpoint): Promise<void> {
  expect([...a.tensors.keys()].sort()).toEqual([...b.tensors.keys()].sort());
  expect(Object.fromEntries(a.metadata)).toEqual(Object.fromEntries(b.metadata));
  for (const [name, wanted] of b.tensors) {
    const got = a.tensors.get(name)!;
    expect([got.dtype, [...got.shape]]).toEqual([wanted.dtype, [...wanted.shape]]);
    expect(Buffer.compare(await got.load(), await wanted.load())).toBe(0);
  }
}

describe('the safetensors writer and reader', () => {
  test('give every checkpoint back, and the same bytes for the same tensors', async () => {
    await fc.assert(
      fc.asyncProperty(checkpoint, async (wanted) => {
        const [file] = safetensorsLayout(wanted);
        const bytes = await layoutToBytes(file!);
        await expectSame(await openSafetensors(memorySource(bytes)), wanted);
        const reversed = { tensors: new Map([...wanted.tensors].reverse()), metadata: new Map([...wanted.metadata].reverse()) };
        expect(Buffer.compare(await layoutToBytes(safetensorsLayout(reversed)[0]!), bytes)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test('give shards back through their index', async () => {
    await fc.assert(
      fc.asyncProperty(checkpoint, fc.integer({ min: 1, max: 200 }), async (wanted, shardBytes) => {
        const files = new Map<string, Uint8Array>();
        for (const layout of safetensorsLayout(wanted, { shardBytes })) files.set(layout.name, await layoutToBytes(layout));
        const index = files.get('model.safetensors.index.json');
        const opened = index
          ? await openSafetensorsIndex(memorySource(index), async (name) => memorySource(files.get(name)!))
          : await openSafetensors(memorySource(files.get('model.safetensors')!));
        await expectSame(opened, wanted);
      }),
      { numRuns: 100 },
    );
  });

  test('start every tensor at a multiple of its element', async () => {
    await fc.assert(
      fc.asyncProperty(checkpoint, async (wanted) => {
        for (const piece of safetensorsLayout(wanted)[0]!.pieces) {
          if (piece.kind === 'tensor') expect(piece.offset % Math.max(1, Math.min(8, dtypes[piece.tensor.dtype].bits / 8))).toBe(0);
        }
      }),
    );
  });

  test('refuse what the format cannot hold', () => {
    const of = (value: Tensor): Checkpoint => ({ tensors: new Map([['w', value]]), metadata: new Map() });
    expect(() => safetensorsLayout(of(lazy.fill('int4', [4], 0)))).toThrow(/w is int4/);
    expect(() => safetensorsLayout(of(lazy.fill('float4e2m1', [3], 0)))).toThrow(/last byte/);
    expect(() => safetensorsLayout({ tensors: new Map([['__metadata__', lazy.fill('int8', [1], 0)]]), metadata: new Map() })).toThrow(/__metadata__/);
  });
});

describe.skipIf(!existsSync(DATA))('files of the reference writer', () => {
  test.each(['models/stories260k/hf/model.safetensors', 'models/tiny-t5/model.safetensors', 'safetensors/encodec_jfk-codes.safetensors'])(
    '%s is written back byte for byte',
    async (name) => {
      const bytes = readFileSync(join(DATA, name));
      const opened = await openSafetensors(await fileSource(join(DATA, name)));
      expect(Buffer.compare(await layoutToBytes(safetensorsLayout(opened)[0]!), bytes)).toBe(0);
    },
  );

  test('shards hold what the single file holds', async () => {
    const folder = join(DATA, 'models/stories260k');
    const open = (name: string): ReturnType<typeof fileSource> => fileSource(join(folder, 'hf-sharded', name));
    const sharded = await openSafetensorsIndex(await open('model.safetensors.index.json'), open);
    const single = await openSafetensors(await fileSource(join(folder, 'hf/model.safetensors')));
    await expectSame({ ...sharded, metadata: single.metadata }, single);
  });

  test('float64 values are those of the file', async () => {
    const opened = await openSafetensors(await fileSource(join(DATA, 'safetensors/tensor-2d-float64.safetensors')));
    const [first] = opened.tensors.values();
    expect(first!.dtype).toBe('float64');
  });
});

describe('shards on disk', () => {
  let folder: string;
  let pool: Pool;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-safetensors-'));
    pool = createPool({ threads: 1 });
  });
  afterAll(async () => {
    await pool[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('are saved, opened, and copied range by range into one file', async () => {
    const tensors = new Map(Array.from({ length: 9 }, (_, i) => [`t${i}`, new DenseTensor('int16', [100, i], new Uint8Array(200 * i).fill(i))] as const));
    const wanted = { tensors, metadata: new Map([['format', 'pt']]) };
    await saveLayouts(join(folder, 'sharded'), safetensorsLayout(wanted, { shardBytes: 2000 }), { pool });
    const open = (name: string): ReturnType<typeof fileSource> => fileSource(join(folder, 'sharded', name));
    const sharded = await openSafetensorsIndex(await open('model.safetensors.index.json'), open);
    await expectSame(sharded, wanted);
    await saveFile(join(folder, 'one.safetensors'), safetensorsLayout(sharded), { pool });
    await expectSame(await openSafetensors(await fileSource(join(folder, 'one.safetensors'))), wanted);
  });
});
