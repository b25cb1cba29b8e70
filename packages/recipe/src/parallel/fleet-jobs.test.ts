/** Calibrated and taught models are the same bytes from the workers of a fleet as from one machine; workers run what they know. */
import { join } from 'node:path';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import type { Json } from '@penjing/parallel';
import { expect, it } from 'vitest';
import { computeHandler } from './compute-handler.js';
import { computeJob, readComputeJob } from './compute-job.js';
import { jobTable } from './job-table.js';
import { writeParcel } from './parcel.js';
import { openRoots } from './shared-roots.js';
import { fleetOfFile, network } from './testing/fleet-recipes.js';

const { folder, run } = fleetOfFile();
const data = join(folder, 'data.jsonl');

it('calibrates in parts, rounds, and writes the same bytes', async () => {
  const { alone, together, jobs } = await run('gptq', { quantize: { bits: 4, method: 'gptq', data, samples: 20 } });
  expect(Buffer.compare(together, alone)).toBe(0);
  // Three layers and the head are rounded; three parts of the samples go through each of the blocks.
  expect(jobs.filter((name) => name === 'gptqJob')).toHaveLength(4);
  expect(jobs.filter((name) => name === 'blockJob').length % 3).toBe(0);
  expect(jobs.filter((name) => name === 'blockJob').length).toBeGreaterThanOrEqual(3);
});

it('asks teachers in parts, and trains to the same bytes', async () => {
  const { alone, together, jobs } = await run('distill', { distill: { teachers: [join(folder, 'teacher.onnx')], data, steps: 6, batch: 6, cacheTeacher: true } });
  expect(Buffer.compare(together, alone)).toBe(0);
  // Of 40 samples two are left out to measure on: seven batches.
  expect(jobs).toEqual(Array.from({ length: 7 }, () => 'teacherJob'));
});

it('loads no model that reaches for files elsewhere', async () => {
  const roots = await openRoots([folder]);
  await using handler = computeHandler(1);
  // As prepared from files of a folder: bytes that point at weights beside them.
  const [layout] = serializeOnnx(network(1, 1), { externalData: 'always', name: 'evil.onnx' });
  const bytes = Buffer.from(await layoutToBytes(layout!));
  const location = Buffer.from('evil.onnx_data');
  expect(bytes.includes(location)).toBe(true);
  for (let at = bytes.indexOf(location); at !== -1; at = bytes.indexOf(location, at + 1)) bytes.write('../evil.secret', at);
  const model = { kind: 'model', reference: { source: { kind: 'memory', bytes: new Uint8Array(bytes).buffer, externalData: [] }, weights: { bytes: 0, quantized: false }, folder } };
  const input = await writeParcel({ model, parts: [{ start: 0, end: 1 }], inputs: ['x'], outputs: ['logits'], drop: [], collect: [], shelf: { kind: 'shelf', reference: folder }, large: { kind: 'shelf', reference: folder } }, { folder, roots });
  const place = { root: 'shared', path: '' };
  await expect(handler.run(computeJob({ job: 'blockJob', input, threads: 1, seed: null, work: place, folder: place }), { roots, threads: 1, signal: new AbortController().signal })).rejects.toMatchObject({ code: 'E_EXTERNAL_DATA' });
});

it('runs no job that is not in the table', async () => {
  // No two have the same name.
  expect((await jobTable()).size).toBe(8);
  const roots = await openRoots([folder]);
  await using handler = computeHandler(1);
  const context = { roots, threads: 1, signal: new AbortController().signal };
  const spec = { input: { root: 'shared', path: 'x', sha256: '' }, threads: 1, seed: null, work: { root: 'shared', path: '' }, folder: { root: 'shared', path: '' } };
  for (const job of ['process.exit', 'toString', 'trainJob']) await expect(handler.run(computeJob({ job, ...spec }), context)).rejects.toThrow(/knows no job/);
  expect(() => readComputeJob({ ...(computeJob({ job: 'blockJob', ...spec }) as { [name: string]: Json }), version: 1 })).toThrow(/is of version 1/);
  expect(() => readComputeJob(computeJob({ job: 'blockJob', ...spec, threads: 1e9 }))).toThrow(/asks for 1000000000 threads/);
  // Another ONNX Runtime, or another Penjing, would give other bits.
  const sent = computeJob({ job: 'blockJob', ...spec }) as { [name: string]: Json };
  const packages = sent['packages'] as string[];
  for (const name of ['onnxruntime-node', '@penjing/kernels', '@penjing/core', '@penjing/quantize']) {
    const at = packages.findIndex((text) => text.startsWith(`${name} `));
    expect(packages[at]).toMatch(/ \d+\.\d+\.\d+/);
    expect(() => readComputeJob({ ...sent, packages: packages.with(at, `${name} 0.0.7`) })).toThrow(`the job wants ${name} 0.0.7`);
  }
  expect(() => readComputeJob({ ...sent, packages: packages.slice(0, -1) })).toThrow(/the job wants undefined/);
  expect(readComputeJob(sent)).toMatchObject({ job: 'blockJob' });
});
