/** A save by workers writes what a save by threads writes, also over damage and after resuming. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { lazy, rowBytes, type Tensor } from '@penjing/core';
import { openSafetensors, safetensorsLayout } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';
import { memoryQueue, type WorkQueue } from '@penjing/parallel';
import { fleetPool } from './fleet-pool.js';
import { runWorker } from './run-worker.js';
import type { SaveJobSpec } from './save-job.js';
import { openRoots } from './shared-roots.js';
import { randomTensor } from './testing/random-tensor.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-pool-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Two larger tensors and many small ones, transposed and narrowed on the way out. */
async function plan(): Promise<Map<string, Tensor>> {
  const path = join(folder, 'model.safetensors');
  const made = new Map<string, Tensor>([['a', randomTensor([1200, 1024], 1)], ['b', randomTensor([512, 3000], 2)]]);
  for (let i = 0; i < 40; i++) made.set(`small.${i}`, randomTensor([7, 33], 3 + i));
  await saveFile(path, safetensorsLayout({ tensors: made, metadata: new Map() }, { name: 'model.safetensors' }), { force: true });
  const { tensors } = await openSafetensors(await fileSource(path));
  return new Map([...tensors].map(([name, tensor]) => [name, lazy.cast(name === 'b' ? lazy.transpose(tensor, [1, 0]) : tensor, 'float16')]));
}

async function save(name: string, queue: WorkQueue): Promise<Buffer> {
  const output = join(folder, name);
  const roots = await openRoots([folder]);
  await using pool = fleetPool({ queue, roots, output, chunksPerJob: 3 });
  await saveFile(output, safetensorsLayout({ tensors: await plan(), metadata: new Map() }, { name }), { pool });
  return readFileSync(output);
}

it('writes the same bytes as threads do', async () => {
  const expected = join(folder, 'threads.safetensors');
  await saveFile(expected, safetensorsLayout({ tensors: await plan(), metadata: new Map() }, { name: 'x' }), { threads: 1 });
  await using queue = memoryQueue();
  const stop = new AbortController();
  const roots = await openRoots([folder]);
  const workers = [1, 2].map(() => runWorker({ queue, roots, threads: 1, signal: stop.signal }));
  expect(Buffer.compare(await save('workers.safetensors', queue), readFileSync(expected))).toBe(0);

  // One bit of what a worker wrote is turned before it says so.
  const deliveries: string[] = [];
  const between: WorkQueue = {
    ...queue,
    take: async (options) => (await queue.take(options)).map((job) => ({
      ...job,
      complete: async (result) => {
        if (deliveries.length === 0) await turnOneBit(join(folder, 'damaged.safetensors.penjing', 'files', 'damaged.safetensors'), firstByteOf(job.spec as unknown as SaveJobSpec));
        deliveries.push(job.id);
        return job.complete(result);
      },
    })),
  };
  stop.abort();
  await Promise.all(workers);
  const again = new AbortController();
  const hostile = runWorker({ queue: between, roots, threads: 1, signal: again.signal });
  expect(Buffer.compare(await save('damaged.safetensors', queue), readFileSync(expected))).toBe(0);
  again.abort();
  await hostile;
  expect(deliveries.filter((id) => id === deliveries[0])).toHaveLength(2);
  expect(new Set(deliveries).size).toBe(deliveries.length - 1);
  expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
});

function firstByteOf({ groups, chunks: [chunk] }: SaveJobSpec): number {
  const group = groups[chunk?.group ?? 0];
  const [output] = group && 'outputs' in group ? group.outputs : [];
  const [rows] = chunk?.rows ?? [];
  if (!output || !rows) throw new Error('no chunk');
  return output.offset + rowBytes(output.expr, rows).offset;
}

async function turnOneBit(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
  await file.close();
}

it('lets no job out of the roots', async () => {
  mkdirSync(join(folder, 'inside', 'deep'), { recursive: true });
  mkdirSync(join(folder, 'inside-too'));
  writeFileSync(join(folder, 'secret'), '');
  symlinkSync('../secret', join(folder, 'inside', 'link'));
  symlinkSync('deep', join(folder, 'inside', 'near'));
  const roots = await openRoots([join(folder, 'inside')]);
  expect(await roots.share(join(folder, 'inside', 'near', 'new'))).toEqual({ root: 'shared', path: 'deep/new' });
  expect(await roots.find({ root: 'shared', path: 'deep' })).toMatch(/inside\/deep$/);
  await expect(roots.share(join(folder, 'secret'))).rejects.toMatchObject({ code: 'E_PATH' });
  for (const path of ['../secret', 'link', '/etc/passwd', 'deep/../../secret', '../inside-too', 'a\0b', 'deep\\x']) await expect(roots.find({ root: 'shared', path })).rejects.toMatchObject({ code: 'E_PATH' });
  await expect(roots.find({ root: 'other', path: 'deep' })).rejects.toMatchObject({ code: 'E_PATH' });
  await expect(openRoots([folder, folder])).rejects.toMatchObject({ code: 'E_OPTION' });
});
