/** Kept outputs are those of the same job on the same input, with the same threads and versions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageOf } from '@penjing/graph-io/node';
import { afterAll, expect, it } from 'vitest';
import { engineVersions } from '../engine-versions.js';
import { type KeptJob, keptResult } from './kept-result.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-kept-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('gives what was computed in the same way only', async () => {
  const job: KeptJob = { name: 'job', seed: 1, threads: 1, versions: ['onnxruntime-node 1.0.0', '@penjing/core 1.0.0'] };
  const input = { rows: Float32Array.of(1, 2) };
  const read = (changed: Partial<KeptJob>, other: unknown = input): Promise<unknown> => keptResult(folder, { ...job, ...changed }, other)!.read();
  await keptResult(folder, job, input)!.write('output');
  expect(await read({})).toBe('output');
  for (const changed of [{ name: 'other' }, { seed: 2 }, { threads: 8 }, { threads: undefined }, { versions: ['onnxruntime-node 1.0.1', '@penjing/core 1.0.0'] }, { versions: ['onnxruntime-node 1.0.0'] }]) expect(await read(changed)).toBeUndefined();
  expect(await read({}, { rows: Float32Array.of(1, 3) })).toBeUndefined();
});

it('knows the versions of what computes', () => {
  for (const text of engineVersions()) expect(text).toMatch(/^(@penjing\/[a-z-]+|onnxruntime-node) \d+\.\d+\.\d+/);
  expect(packageOf(import.meta.url)).toBe(engineVersions().find((text) => text.startsWith('@penjing/runtime ')));
  expect(packageOf('file:///none/of/these/is/there.js')).toBeUndefined();
});
