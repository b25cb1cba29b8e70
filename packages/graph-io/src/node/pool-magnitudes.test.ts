/** The threads of a pool measure weights as the calling thread does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, lazy, type Tensor } from '@penjing/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { largestMagnitudes } from '../tflite/write/magnitudes.js';
import { createPool, fileSource, type Pool, poolMagnitudes } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-magnitudes-'));
const rng = createRng(7);
const values = Float32Array.from({ length: 3 << 20 }, () => rng.normal());
values[5000] = NaN;
values[70_000] = -Infinity;
writeFileSync(join(folder, 'weights'), values);
let pool: Pool;
beforeAll(() => { pool = createPool({ threads: 2 }); });
afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test.each<[string, readonly number[], number, (tensor: Tensor) => Tensor]>([
  ['rows', [1024, 3072], 0, (tensor) => tensor],
  ['short rows', [3 << 15, 32], 0, (tensor) => tensor],
  ['columns', [1024, 3072], 1, (tensor) => tensor],
  ['rows of a turned matrix', [1024, 3072], 0, (tensor) => lazy.transpose(tensor, [1, 0])],
  ['the axis in the middle', [32, 96, 1024], 1, (tensor) => tensor],
  ['channels of kernels, moved last', [96, 3, 2, 8], 3, (tensor) => lazy.transpose(lazy.slice(tensor, [0, 0, 0, 0], [96, 3, 2, 8]), [1, 2, 3, 0])],
  ['halves', [1024, 3072], 0, (tensor) => lazy.cast(lazy.cast(tensor, 'float16'), 'float32')],
])('%s', async (_, shape, axis, change) => {
  const tensor = change(lazy.source(await fileSource(join(folder, 'weights')), 0, 'float32', shape));
  const [ours, plain] = await Promise.all([poolMagnitudes(pool)(tensor, axis), largestMagnitudes(tensor, axis)]);
  expect(ours).toEqual(plain);
  expect(ours.length).toBe(tensor.shape[axis]);
  expect(ours.some((value) => value > 2)).toBe(true);
});

test('what lies in memory', async () => {
  const tensor = lazy.multiply(lazy.fill('float32', [4, 8], 2), lazy.fill('float32', [], -3));
  expect(await poolMagnitudes(pool)(tensor, 0)).toEqual(new Float32Array(4).fill(6));
});

test('a signal stops it', async () => {
  const tensor = lazy.source(await fileSource(join(folder, 'weights')), 0, 'float32', [1024, 3072]);
  await expect(poolMagnitudes(pool)(tensor, 0, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
});
