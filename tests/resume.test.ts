/** A killed save loses nothing: no output, only the work folder; resumed it gives the same bytes, without it starts clean. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRng, DenseTensor } from '@penjing/core';
import { type FileLayout, openSafetensors, safetensorsLayout } from '@penjing/graph-io';
import { createPool, fileSource, type Pool, saveFile, saveLayouts } from '@penjing/graph-io/node';
import { digestFolder } from './support/digest-folder.js';
import { plannedSave } from './tools/planned-save.js';

const MOMENTS = 4;
const CHILD = fileURLToPath(new URL('./tools/save-child.ts', import.meta.url));

let folder: string;
let pool: Pool;
let layouts: FileLayout[];
let wanted: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-resume-'));
  pool = createPool({ threads: 2, directFileBytes: 1 });
  const rng = createRng(7);
  const tensors = new Map<string, DenseTensor>();
  for (let i = 0; i < 12; i++) {
    const words = new Uint16Array(2048 * 1024);
    for (let at = 0; at < words.length; at++) words[at] = 0x3c00 | (rng.uint32() & 0x81ff);
    tensors.set(`w${i}`, DenseTensor.of('bfloat16', [2048, 1024], words));
  }
  await saveFile(join(folder, 'model.safetensors'), safetensorsLayout({ tensors, metadata: new Map() }), { pool });
  layouts = await plan();
  await saveLayouts(join(folder, 'wanted'), layouts, { pool });
  wanted = digestFolder(join(folder, 'wanted'));
}, 60_000);

afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function plan(): Promise<FileLayout[]> {
  return plannedSave(await openSafetensors(await fileSource(join(folder, 'model.safetensors'))));
}

interface Child {
  readonly process: ChildProcess;
  readonly ready: Promise<unknown>;
}

function startChild(output: string): Child {
  const process = fork(CHILD, [folder, output], { execArgv: ['--import', 'tsx', '--conditions=@penjing/source'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  return { process, ready: once(process, 'message') };
}

/** Kills a child `delay` ms after its save passed `share` of the bytes. */
async function killAt(child: Child, share: number, delay: number): Promise<void> {
  await child.ready;
  const exited = once(child.process, 'exit');
  child.process.on('message', ({ done, total }: { done: number; total: number }) => {
    if (done >= share * total) setTimeout(() => child.process.kill('SIGKILL'), delay);
  });
  child.process.send('go');
  await exited;
}

describe('a killed save', () => {
  test(`leaves only its work folder and resumes to the same bytes, ${MOMENTS} times`, async () => {
    const rng = createRng(2026);
    const outputs = Array.from({ length: MOMENTS }, (_, i) => join(folder, `out-${i}`));
    let next: Child | undefined = startChild(outputs[0]!);
    let resumedBytes = 0;
    let unfinished = 0;
    for (const [i, output] of outputs.entries()) {
      const child = next!;
      // The next child loads its modules while this one works.
      next = outputs[i + 1] ? startChild(outputs[i + 1]!) : undefined;
      // The last two moments come after the last byte: while files are synced and moved.
      await killAt(child, i < MOMENTS - 2 ? rng.uniform() * 0.95 : 1, rng.below(i < MOMENTS - 2 ? 4 : 12));
      if (existsSync(output)) {
        // It was faster than the signal: then it must be whole.
        expect(i).toBeGreaterThanOrEqual(MOMENTS - 2);
        expect(digestFolder(output)).toBe(wanted);
        continue;
      }
      unfinished++;
      expect(existsSync(`${output}.penjing`)).toBe(true);
      if (i % 3 === 2) {
        const { notes, resumedBytes: reused } = await saveLayouts(output, layouts, { pool });
        expect(notes.join()).toMatch(/was deleted/);
        expect(reused).toBe(0);
      } else {
        resumedBytes += (await saveLayouts(output, layouts, { pool, resume: true })).resumedBytes;
      }
      expect(digestFolder(output)).toBe(wanted);
      expect(existsSync(`${output}.penjing`)).toBe(false);
    }
    expect(unfinished).toBeGreaterThanOrEqual(MOMENTS - 2);
    expect(resumedBytes).toBeGreaterThan(0);
  }, 120_000);
});

describe('a work folder', () => {
  /** Stops a save at a third by its signal. */
  async function interrupted(name: string, given: readonly FileLayout[] = layouts): Promise<string> {
    const output = join(folder, name);
    const controller = new AbortController();
    const saving = saveLayouts(output, given, {
      pool, signal: controller.signal,
      onProgress: ({ done, total }) => { if (done > total / 3) controller.abort(); },
    });
    await expect(saving).rejects.toThrow(/abort/i);
    expect(existsSync(output)).toBe(false);
    return output;
  }

  test('with damaged bytes is repaired, not trusted', async () => {
    const output = await interrupted('damaged');
    const path = join(`${output}.penjing`, 'files', 'straight.bin');
    const bytes = await readFile(path);
    for (let at = 4096; at < bytes.length; at += 1 << 16) bytes[at]! ^= 1;
    await writeFile(path, bytes);
    await appendFile(join(`${output}.penjing`, 'journal.jsonl'), '{"g":1,"c"');
    await saveLayouts(output, layouts, { pool, resume: true });
    expect(digestFolder(output)).toBe(wanted);
  });

  test('with a cut file is repaired', async () => {
    const output = await interrupted('cut');
    await truncate(join(`${output}.penjing`, 'files', 'straight.bin'), 100);
    await saveLayouts(output, layouts, { pool, resume: true });
    expect(digestFolder(output)).toBe(wanted);
  });

  test('of another plan is not used', async () => {
    const output = await interrupted('other');
    const { notes, resumedBytes } = await saveLayouts(output, layouts, { pool, resume: true, planKey: 'another' });
    expect(notes.join()).toMatch(/another plan/);
    expect(resumedBytes).toBe(0);
    expect(digestFolder(output)).toBe(wanted);
  });

  test('of an input that changed since is not used', async () => {
    const output = await interrupted('changed');
    const input = join(folder, 'model.safetensors');
    const { mtime } = await stat(input);
    await utimes(input, mtime, new Date(mtime.getTime() + 5000));
    const stale = saveLayouts(output, layouts, { pool, resume: true });
    await expect(stale).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
    layouts = await plan();
    const { resumedBytes } = await saveLayouts(output, layouts, { pool, resume: true });
    expect(resumedBytes).toBe(0);
    expect(digestFolder(output)).toBe(wanted);
  });

  test('is locked while a run lives, and taken over when it is dead', async () => {
    const output = join(folder, 'locked');
    const first = saveLayouts(output, layouts, { pool });
    await expect(new Promise((resolve) => setTimeout(resolve, 30)).then(() => saveLayouts(output, layouts, { pool }))).rejects.toMatchObject({ code: 'E_BUSY' });
    await first;
    await rm(output, { recursive: true });
    const killed = await interrupted('locked');
    await writeFile(join(`${killed}.penjing`, 'lock'), '4194304 1');
    await saveLayouts(killed, layouts, { pool, resume: true });
    expect(digestFolder(killed)).toBe(wanted);
  });
});
