/** Saving through the pool gives the same bytes as evaluating on the calling thread, atomically. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRng, DenseTensor, lazy, type Tensor } from '@penjing/core';
import { type FileLayout, layoutToBytes, openSafetensors, safetensorsLayout } from '../index.js';
import { createPool, fileSource, type Pool, readManifest, saveFile, saveLayouts } from './index.js';

let folder: string;
let pool: Pool;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-save-'));
  pool = createPool({ threads: 2 });
});
afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A layout of tensors, one after the other. */
export function layoutOf(name: string, tensors: readonly (readonly [string, Tensor])[]): FileLayout {
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
});
