/** Inputs of jobs come out of files as they went in, wherever the root is mounted, and never with a path that nobody shares. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { sha256 } from '@penjing/core';
import { afterAll, expect, it } from 'vitest';
import { readParcel, sharedBuffers, writeParcel } from './parcel.js';
import { openRoots } from './shared-roots.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-parcel-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const here = join(folder, 'here');
mkdirSync(join(here, 'work'), { recursive: true });

it('keeps data as it is, and paths inside of the root', async () => {
  const roots = await openRoots([here]);
  const options = { folder: join(here, 'fleet'), roots };
  mkdirSync(options.folder);
  const buffers = sharedBuffers(options);
  const large = Uint8Array.from({ length: 40_000 }, (_, i) => i % 251).buffer;
  const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(7).buffer;
  const expr = { op: 'source', source: 'file:///somewhere' };
  const input = {
    shelf: { kind: 'shelf', reference: join(here, 'work') },
    model: { kind: 'model', reference: { source: { kind: 'memory', bytes: large, externalData: [] }, folder: here } },
    tensor: { kind: 'tensor', reference: { kind: 'data', data: { group: { outputs: [{ expr, path: '', offset: 0 }], sources: new Map([['x', { kind: 'file', path: join(here, 'not-yet'), size: 3 }], ['y', { kind: 'shared', bytes: shared }]]) } } } },
    numbers: [Infinity, undefined, -0, 3n, Float32Array.of(1, NaN)], twice: [expr, expr],
  };
  const parcels = [await writeParcel(input, { ...options, buffers }), await writeParcel({ again: large }, { ...options, buffers })];
  // The model is in one file, whoever reads it.
  expect(readdirSync(options.folder)).toHaveLength(3);

  // Another machine has the root somewhere else.
  const there = join(folder, 'there');
  renameSync(here, there);
  const read = (await readParcel(parcels[0]!, await openRoots([there]))) as typeof input;
  const moved = (path: string): string => path.replace(here, there);
  expect(read.shelf.reference).toBe(moved(input.shelf.reference));
  expect(read.model.reference.folder).toBe(there);
  expect(Buffer.compare(Buffer.from(read.model.reference.source.bytes), Buffer.from(large))).toBe(0);
  const { sources } = read.tensor.reference.data.group;
  expect(sources.get('x')).toMatchObject({ path: moved(join(here, 'not-yet')) });
  expect(sources.get('y')!.bytes).toBeInstanceOf(SharedArrayBuffer);
  expect(new Uint8Array(sources.get('y')!.bytes!)).toEqual(new Uint8Array(8).fill(7));
  expect(read.numbers).toEqual(input.numbers);
  expect(read.twice[0]).toBe(read.twice[1]);
  renameSync(there, here);
  await buffers.forget(large);
  expect(readdirSync(options.folder)).toHaveLength(2);
  await expect(readParcel(parcels[1]!, roots)).rejects.toThrow(/does not exist/);
});

it('refuses paths that are not shared, and damage', async () => {
  const roots = await openRoots([here]);
  await expect(writeParcel({ kind: 'shelf', reference: tmpdir() }, { folder: here, roots })).rejects.toThrow(/is in none of the folders/);
  const forged = async (value: unknown): Promise<unknown> => {
    const bytes = serialize(value);
    writeFileSync(join(here, 'forged'), bytes);
    return readParcel({ root: 'shared', path: 'forged', sha256: await sha256(bytes) }, roots);
  };
  for (const value of [{ reference: '/etc' }, { deep: new Map([['a', [{ path: '/etc/passwd' }]]]) }, { model: { folder: 'relative' } }]) await expect(forged(value)).rejects.toThrow(/a job names the path/);
  symlinkSync('/etc', join(here, 'link'));
  for (const path of ['../there', '/etc', 'link/passwd']) {
    await expect(forged({ reference: { 'penjing parcel': 'path', place: { root: 'shared', path } } })).rejects.toThrow(/leaves the root/);
  }
  const parcel = await writeParcel({ a: 1 }, { folder: here, roots });
  writeFileSync(join(here, parcel.path), 'something else');
  await expect(readParcel(parcel, roots)).rejects.toMatchObject({ code: 'E_CHECKSUM' });
});

it('keeps a tensor in memory on disk for as long as a job has it', async () => {
  const roots = await openRoots([here]);
  const options = { folder: join(here, 'tensors'), roots };
  mkdirSync(options.folder);
  const buffers = sharedBuffers(options);
  const tensor = new SharedArrayBuffer(40_000);
  const model = new ArrayBuffer(40_000);
  const first = buffers.ofJob();
  const second = buffers.ofJob();
  const parcel = await writeParcel({ tensor, again: tensor, model }, { ...options, buffers: first });
  await writeParcel({ tensor, model }, { ...options, buffers: second });
  expect(readdirSync(options.folder)).toHaveLength(4);
  await first[Symbol.asyncDispose]();
  expect(readdirSync(options.folder)).toHaveLength(4);
  expect(await readParcel(parcel, roots)).toMatchObject({ tensor: expect.any(SharedArrayBuffer) as object });
  await second[Symbol.asyncDispose]();
  // The model stays until it is forgotten.
  expect(readdirSync(options.folder)).toHaveLength(3);
  await expect(readParcel(parcel, roots)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  // Another job has it written again.
  await using third = buffers.ofJob();
  expect(await readParcel(await writeParcel({ tensor }, { ...options, buffers: third }), roots)).toMatchObject({ tensor: expect.any(SharedArrayBuffer) as object });
});
