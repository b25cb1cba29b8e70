/** Saving through the pool gives the same bytes as evaluating on the calling thread, atomically. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { appendFile, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ByteSource, createRng, DenseTensor, lazy, type Tensor } from '@penjing/core';
import { type FileLayout, layoutToBytes, openSafetensors, safetensorsLayout } from '../index.js';
import { createPool, fileSource, type Pool, readManifest, saveFile, saveLayouts } from './index.js';

let folder: string;
let pool: Pool;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-save-'));
  pool = createPool({ threads: 2, directFileBytes: 1 });
});
afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A layout of tensors, one after the other. */
function layoutOf(name: string, tensors: readonly (readonly [string, Tensor])[]): FileLayout {
  let offset = 0;
  const pieces = tensors.map(([tensorName, tensor]) => {
    const piece = { kind: 'tensor', offset, name: tensorName, tensor } as const;
    offset = Math.ceil((offset + tensor.byteLength) / 64) * 64;
    return piece;
  });
  const last = pieces.at(-1)!;
  return { name, size: last.offset + last.tensor.byteLength, pieces };
}

function randomBf16(rows: number, cols: number, seed: number): DenseTensor {
  const rng = createRng(seed);
  const words = new Uint16Array(rows * cols);
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < words.length; i++) {
    float[0] = rng.uniform() - 0.5;
    words[i] = bits[0]! >>> 16;
  }
  return DenseTensor.of('bfloat16', [rows, cols], words);
}

describe('saveLayouts', () => {
  test('what a check refuses does not appear, and what it accepts was there for it to see', async () => {
    const target = join(folder, 'verified');
    const files = [layoutOf('w.bin', [['w', randomBf16(4, 4, 3)]])];
    const refused = saveLayouts(target, files, { pool, verify: () => Promise.reject(new Error('no good')) });
    await expect(refused).rejects.toThrow('no good');
    expect(existsSync(target)).toBe(false);
    const seen: string[] = [];
    await saveLayouts(target, files, { pool, verify: async (made) => void seen.push(...(await readdir(made))) });
    expect(seen).toContain('w.bin');
    expect(existsSync(join(target, 'w.bin'))).toBe(true);
  });

  test('every kind of expression gives the bytes that evaluation on one thread gives', async () => {
    const checkpoint = { tensors: new Map([['w', randomBf16(3000, 1024, 1)], ['v', randomBf16(96, 64, 2)]]), metadata: new Map() };
    await saveFile(join(folder, 'in.safetensors'), safetensorsLayout(checkpoint), { pool });
    const opened = await openSafetensors(await fileSource(join(folder, 'in.safetensors')));
    const w = opened.tensors.get('w')!;
    const v = opened.tensors.get('v')!;
    const turned = lazy.transpose(lazy.cast(w, 'float32'), [1, 0]);
    const nbits = lazy.quantize(w, { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    const qdq = lazy.quantize(lazy.cast(w, 'float32'), { bits: 4, blockSize: 32, symmetric: false, layout: 'linear' });
    const inMemory = lazy.quantize(randomBf16(64, 96, 3), { bits: 8, blockSize: 16, symmetric: false, layout: 'nbits' }, 'float16');
    const layout = layoutOf('all.bin', [
      ['copy', w], ['turned', turned], ['half', lazy.cast(v, 'float16')],
      ['values', nbits.values], ['scales', nbits.scales],
      ['qdq.values', lazy.transpose(qdq.values, [1, 0])], ['qdq.scales', lazy.transpose(qdq.scales, [1, 0])],
      ['qdq.zeros', lazy.transpose(qdq.zeroPoints!, [1, 0])],
      ['memory.values', inMemory.values], ['memory.scales', inMemory.scales], ['memory.zeros', inMemory.zeroPoints!],
      ['long', lazy.reshape(lazy.cast(w, 'float32'), [1, 3000 * 1024])],
    ]);
    const { measured, bytes } = await saveLayouts(join(folder, 'all'), [layout], { pool });
    const written = await readFile(join(folder, 'all', 'all.bin'));
    expect(written.equals(await layoutToBytes(layout))).toBe(true);
    expect(measured.get('values')!.sumSquaredError).toBeGreaterThan(0);
    expect(measured.get('qdq.values')!.sumSquares).toBeCloseTo(measured.get('values')!.sumSquares, 3);
    expect(measured.get('half')!.sumSquaredError).toBeLessThan(1e-6);
    expect(bytes).toBeGreaterThan(layout.size);
    expect((await readManifest(join(folder, 'all')))!.files).toEqual([{ name: 'all.bin', bytes: layout.size }]);
    expect(await readdir(folder)).not.toContain('all.penjing');
  });

  test('reads sources that threads cannot open', async () => {
    const bytes = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);
    const remote: ByteSource = {
      uri: 'https://example.invalid/w', size: bytes.length, descriptor: { kind: 'http', url: 'https://example.invalid/w', size: bytes.length },
      read: async (offset, length) => bytes.slice(offset, offset + length),
    };
    const layout = layoutOf('remote.bin', [['a', lazy.cast(lazy.source(remote, 16, 'uint8', [100, 3]), 'int32')], ['b', lazy.source(remote, 0, 'uint8', [50])]]);
    await saveLayouts(join(folder, 'remote'), [layout], { pool });
    expect(Buffer.compare(await readFile(join(folder, 'remote', 'remote.bin')), await layoutToBytes(layout))).toBe(0);
  });

  test('writes the same bytes with any number of threads', async () => {
    const { values, scales } = lazy.quantize(randomBf16(5000, 512, 4), { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    const layout = layoutOf('q.bin', [['values', values], ['scales', scales]]);
    const one = await saveLayouts(join(folder, 'one'), [layout], { threads: 1 });
    const three = await saveLayouts(join(folder, 'three'), [layout], { threads: 3 });
    expect(Buffer.compare(await readFile(join(folder, 'one/q.bin')), await readFile(join(folder, 'three/q.bin')))).toBe(0);
    expect([...one.measured]).toEqual([...three.measured]);
  });
});

/** A file of one byte value. */
function plain(name: string, value: number, size = 10): FileLayout {
  return layoutOf(name, [['w', new DenseTensor('uint8', [size], new Uint8Array(size).fill(value))]]);
}

describe('an existing output', () => {
  const listing = async (path: string): Promise<string[]> => (await readdir(path)).sort();

  test('stays without force, and is replaced with it', async () => {
    const output = join(folder, 'exists');
    await saveLayouts(output, [plain('a', 1), plain('old', 1)], { pool });
    await expect(saveLayouts(output, [plain('a', 2)], { pool })).rejects.toMatchObject({ code: 'E_EXISTS' });
    expect((await readFile(join(output, 'a')))[0]).toBe(1);
    await saveLayouts(output, [plain('a', 2)], { pool, force: true });
    expect(await listing(output)).toEqual(['a', 'penjing.json']);
    expect((await readFile(join(output, 'a')))[0]).toBe(2);
  });

  test('comes back when the run that replaced it was killed in between', async () => {
    const output = join(folder, 'swapped');
    await saveLayouts(output, [plain('a', 1)], { pool });
    await mkdir(`${output}.penjing`);
    await rename(output, join(`${output}.penjing`, 'replaced'));
    await expect(saveLayouts(output, [plain('a', 2)], { pool })).rejects.toMatchObject({ code: 'E_EXISTS' });
    expect((await readFile(join(output, 'a')))[0]).toBe(1);
    await saveLayouts(output, [plain('a', 2)], { pool, force: true, resume: true });
    expect((await readFile(join(output, 'a')))[0]).toBe(2);
    expect(existsSync(`${output}.penjing`)).toBe(false);
  });

  test('keeps files that are not ours, even with force', async () => {
    const output = join(folder, 'foreign');
    await mkdir(output);
    await writeFile(join(output, 'notes.txt'), 'mine');
    await saveLayouts(output, [plain('a', 1)], { pool });
    await expect(saveLayouts(output, [plain('a', 2)], { pool })).rejects.toMatchObject({ code: 'E_EXISTS' });
    await saveLayouts(output, [plain('a', 2)], { pool, force: true });
    expect(await readFile(join(output, 'notes.txt'), 'utf8')).toBe('mine');
    expect((await readManifest(output))!.files.map(({ name }) => name)).toEqual(['a']);
  });

  test('takes further files one by one', async () => {
    const output = join(folder, 'added');
    await saveLayouts(output, [plain('a', 1)], { pool, manifest: { recipe: 'first' } });
    await saveLayouts(output, [plain('sub/b', 2)], { pool, add: true });
    await expect(saveLayouts(output, [plain('a', 3)], { pool, add: true })).rejects.toMatchObject({ code: 'E_EXISTS' });
    expect(await readManifest(output)).toMatchObject({ recipe: 'first', files: [{ name: 'a' }, { name: 'sub/b' }] });
    expect((await readFile(join(output, 'a')))[0]).toBe(1);
    await saveLayouts(output, [plain('a', 4, 20), plain('c', 5)], { pool, add: true, replace: ['a'] });
    expect(await readManifest(output)).toMatchObject({ files: [{ name: 'a', bytes: 20 }, { name: 'c' }, { name: 'sub/b' }] });
    // No bytes but the manifest: no thread is started.
    await saveLayouts(output, [], { add: true, manifest: { recipe: 'second' } });
    expect(await readManifest(output)).toMatchObject({ recipe: 'second', files: [{ name: 'a' }, { name: 'c' }, { name: 'sub/b' }] });
    // What stands in it may depend on what was written, and on what stood there.
    const { files, bytes } = await saveLayouts(output, [plain('d', 6)], { pool, add: true, manifest: (measured, earlier) => ({ measured: measured.size, after: earlier?.['recipe'] }) });
    expect(await readManifest(output)).toMatchObject({ measured: 0, after: 'second', recipe: 'second' });
    expect(files.map((path) => path.slice(output.length + 1))).toEqual(['d', 'penjing.json']);
    expect(bytes).toBe((await stat(join(output, 'd'))).size + (await stat(join(output, 'penjing.json'))).size);
  });

  test('may be a link to a folder, which stays one', async () => {
    const [real, link] = [join(folder, 'elsewhere'), join(folder, 'linked')];
    await symlink(real, link);
    await expect(saveLayouts(link, [plain('a', 1)], { pool })).rejects.toMatchObject({ code: 'E_EXISTS', message: expect.stringContaining('link') as string });
    expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
    await mkdir(real);
    await saveLayouts(link, [plain('a', 1)], { pool });
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect((await readManifest(real))!.files.map(({ name }) => name)).toEqual(['a']);
  });

  test('counts as absent when it does not match its manifest', async () => {
    const output = join(folder, 'unmatched');
    await saveLayouts(output, [plain('a', 1)], { pool });
    await appendFile(join(output, 'a'), 'x');
    expect(await readManifest(output)).toBeUndefined();
  });

  test('may be a file with companions', async () => {
    const output = join(folder, 'model.onnx');
    const files = [plain('whatever', 1), plain('model.onnx_data', 2)];
    const { files: paths } = await saveFile(output, files, { pool });
    expect(paths).toEqual([output, `${output}_data`]);
    expect((await readFile(`${output}_data`))[0]).toBe(2);
    await expect(saveFile(output, files, { pool })).rejects.toMatchObject({ code: 'E_EXISTS' });
    await saveFile(output, plain('x', 3), { pool, force: true });
    expect((await readFile(output))[0]).toBe(3);
    expect(existsSync(`${output}.penjing`)).toBe(false);
  });

  test('is never outside its folder', async () => {
    for (const name of ['../a', '/a', 'a/../../b', 'penjing.json', '']) {
      await expect(saveLayouts(join(folder, 'outside'), [plain(name, 1)], { pool })).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
    }
    expect(existsSync(join(folder, 'outside'))).toBe(false);
  });
});

describe('a save that fails', () => {
  test('says so when a source changed, and leaves no output', async () => {
    const path = join(folder, 'source.bin');
    await writeFile(path, new Uint8Array(1 << 20));
    const source = await fileSource(path);
    const layout = layoutOf('o.bin', [['w', lazy.source(source, 0, 'uint8', [1 << 20])]]);
    await appendFile(path, 'x');
    await expect(saveLayouts(join(folder, 'changed'), [layout], { pool })).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
    await expect(source.read(0, 1)).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
    expect(existsSync(join(folder, 'changed'))).toBe(false);
  });

  test('says so when a link took the place of a source', async () => {
    const path = join(folder, 'linked.bin');
    await writeFile(path, new Uint8Array(100));
    const layout = layoutOf('o.bin', [['w', lazy.source(await fileSource(path), 0, 'uint8', [100])]]);
    await rm(path);
    await writeFile(join(folder, 'secret'), new Uint8Array(100));
    await symlink(join(folder, 'secret'), path);
    await expect(saveLayouts(join(folder, 'link'), [layout], { pool })).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
  });

  test('ends when its threads die', async () => {
    const dying = createPool({ threads: 2 });
    const { values } = lazy.quantize(randomBf16(20_000, 512, 5), { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    const saving = saveLayouts(join(folder, 'dying'), [layoutOf('q.bin', [['values', values]])], {
      pool: dying,
      onProgress: () => void dying[Symbol.asyncDispose](),
    });
    await expect(saving).rejects.toMatchObject({ code: expect.stringMatching(/^E_(DISPOSED|WORKER)$/) as string });
    expect(existsSync(join(folder, 'dying'))).toBe(false);
    expect(existsSync(join(folder, 'dying.penjing'))).toBe(true);
  });

  test('stops at its signal and keeps what is finished', async () => {
    const stopped = AbortSignal.abort(new Error('enough'));
    await expect(saveLayouts(join(folder, 'stopped'), [plain('a', 1)], { pool, signal: stopped })).rejects.toThrow('enough');
    expect(existsSync(join(folder, 'stopped'))).toBe(false);
  });

  test('for want of space goes on when there is some', async ({ skip }) => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      skip('this user cannot mount a small disk');
    }
    try {
      const { values } = lazy.quantize(randomBf16(30_000, 512, 6), { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
      const layout = layoutOf('q.bin', [['values', values]]);
      const filler = join(disk, 'filler');
      let filled = false;
      const fill = (): void => {
        if (!filled) writeFileSync(filler, new Uint8Array(5 << 20));
        filled = true;
      };
      const output = join(disk, 'out');
      await expect(saveLayouts(output, [layout], { pool, onProgress: fill })).rejects.toMatchObject({ code: 'E_DISK_FULL' });
      expect(existsSync(output)).toBe(false);
      rmSync(filler);
      const { resumedBytes } = await saveLayouts(output, [layout], { pool, resume: true });
      expect(resumedBytes).toBeGreaterThan(0);
      expect(Buffer.compare(await readFile(join(output, 'q.bin')), await layoutToBytes(layout))).toBe(0);
      await expect(saveLayouts(join(disk, 'more'), [layout], { pool })).rejects.toMatchObject({ code: 'E_DISK_FULL' });
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});
