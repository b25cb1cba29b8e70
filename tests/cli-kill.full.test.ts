/** Kills the command itself, ten times in the middle of its work: no output, only the work folder; resumed it gives the same bytes. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRng } from '@penjing/core';
import { makeCheckpoint } from '../bench/make-checkpoint.js';
import { digestFolder } from './support/digest-folder.js';
import { type Ended, penjing, type Running, startPenjing } from './support/penjing-process.js';

const MOMENTS = 10;

let folder: string;
let input: string;
let wanted: string;
/** Bytes of the journal at the end of an uninterrupted run: how far another run is can be read from its journal. */
let journalBytes = 0;

/** One thread, so that the writing takes seconds. */
const convert = (output: string, ...more: string[]): string[] => ['convert', input, '-o', output, '--dtype', 'float16', '--no-check', '--threads', '1', '--quiet', ...more];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-kill-'));
  input = join(folder, 'checkpoint');
  await makeCheckpoint(input, '0.8');
  const output = join(folder, 'wanted');
  const run = startPenjing(convert(output));
  const watch = setInterval(() => (journalBytes = Math.max(journalBytes, journalSize(output))), 5);
  expect(await run.ended).toMatchObject({ code: 0, stderr: '' });
  clearInterval(watch);
  wanted = digestFolder(output);
  await rm(output, { recursive: true });
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

/** -1 before there is one. */
function journalSize(output: string): number {
  return statSync(join(`${output}.penjing`, 'journal.jsonl'), { throwIfNoEntry: false })?.size ?? -1;
}

/** Waits until a run has done a share of its work, or ended. */
async function reached({ process }: Running, output: string, share: number): Promise<void> {
  while (process.exitCode === null && journalSize(output) < share * journalBytes) await wait(2);
}

/** Starts a run and sends the signal when it has done a share of its work. */
async function interrupt(output: string, share: number, signal: NodeJS.Signals, more: string[] = []): Promise<Ended & { readonly after: number }> {
  const run = startPenjing(convert(output, ...more));
  await reached(run, output, share);
  const sent = performance.now();
  run.process.kill(signal);
  const ended = await run.ended;
  return { ...ended, after: performance.now() - sent };
}

function expectOnlyWorkFolder(output: string): void {
  const name = output.slice(folder.length + 1);
  expect(readdirSync(folder).filter((entry) => entry.startsWith(name))).toEqual([`${name}.penjing`]);
}

describe('a conversion of 0.9 GB', () => {
  test(`killed at ${MOMENTS} moments leaves only its work folder and resumes to the same bytes`, async () => {
    const rng = createRng(10);
    const moments: string[] = [];
    for (let i = 0; i < MOMENTS; i++) {
      const output = join(folder, `out-${i}`);
      const share = rng.uniform() * 0.9;
      const { signal, code } = await interrupt(output, share, 'SIGKILL');
      expect({ signal, code }, 'the signal came before the end').toEqual({ signal: 'SIGKILL', code: null });
      moments.push(`${(share * 100).toFixed(0)} %`);
      expectOnlyWorkFolder(output);
      const clean = i % 5 === 4;
      const again = await penjing(convert(output, ...(clean ? [] : ['--resume'])).filter((word) => word !== '--quiet'));
      expect(again).toMatchObject({ code: 0 });
      expect(again.stderr).toMatch(clean ? /left by a run that did not finish, was deleted/ : /bytes were finished by an earlier run/);
      expect(digestFolder(output)).toBe(wanted);
      expect(existsSync(`${output}.penjing`)).toBe(false);
      await rm(output, { recursive: true });
    }
    console.log(`killed at ${moments.join(', ')} of the work`);
  }, 600_000);

  test.each(['SIGINT', 'SIGTERM'] as const)('ends soon after %s with 130, and resumes', async (signal) => {
    const output = join(folder, signal);
    const { code, after, stderr, stdout } = await interrupt(output, 0.4, signal);
    expect({ code, stderr, stdout }).toEqual({ code: 130, stderr: 'interrupted\n', stdout: '' });
    expect(after).toBeLessThan(2000);
    expectOnlyWorkFolder(output);
    expect(await penjing(convert(output, '--resume'))).toMatchObject({ code: 0 });
    expect(digestFolder(output)).toBe(wanted);
    await rm(output, { recursive: true });
  });

  test('interrupted under --json says so in one object', async () => {
    const output = join(folder, 'json');
    const { code, stdout, stderr } = await interrupt(output, 0.2, 'SIGINT', ['--json']);
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'E_INTERRUPTED', message: 'interrupted' } });
  });

  test('a second run on the same output is refused while the first one works', async () => {
    const output = join(folder, 'busy');
    const first = startPenjing(convert(output));
    await reached(first, output, 0);
    const second = await penjing(convert(output, '--json'));
    expect(second.code).toBe(1);
    expect(JSON.parse(second.stdout)).toMatchObject({ error: { code: 'E_BUSY' } });
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(digestFolder(output)).toBe(wanted);
  });
});

describe('penjing simplify', () => {
  /** A graph large enough that its constants take seconds to fold and to write. */
  let graph: string;
  /** Milliseconds of a whole run. */
  let whole: number;
  const simplify = (output: string, ...more: string[]): string[] => ['simplify', graph, '-o', output, '--no-check', '--threads', '1', '--quiet', ...more];

  beforeAll(async () => {
    const out = join(folder, 'graph');
    expect(await penjing(convert(out, '--attention', 'standard'))).toMatchObject({ code: 0 });
    graph = join(out, 'onnx', 'model_fp16.onnx');
    const started = performance.now();
    expect(await penjing(simplify(join(folder, 'simple.onnx')))).toMatchObject({ code: 0 });
    whole = performance.now() - started;
  }, 300_000);

  /** A run that ended before the signal is begun anew, and hears it sooner: how quick the machine is now decides nothing. */
  async function interrupted(output: string, moment: number | string): Promise<{ readonly sent: number; readonly ended: Ended }> {
    for (let share = typeof moment === 'number' ? moment : 1; ; share /= 2) {
      const run = startPenjing(simplify(output));
      if (typeof moment === 'number') await Promise.race([wait(share * whole), run.ended]);
      else while (run.process.exitCode === null && !existsSync(`${output}.penjing`)) await wait(2);
      const sent = performance.now();
      run.process.kill('SIGINT');
      const ended = await run.ended;
      if (ended.code !== 0) return { sent, ended };
      expect(share, 'every run ended before it was interrupted').toBeGreaterThan(0.02);
      await rm(output);
    }
  }

  test.each([0, 0.3, 0.6, 'once it writes'])('Ctrl-C after %s of a run leaves nothing but a work folder, and ends with 130', async (moment) => {
    const output = join(folder, `simple-${moment}.onnx`.replaceAll(' ', '-'));
    const name = output.slice(folder.length + 1);
    const { sent, ended: { code, signal, stdout } } = await interrupted(output, moment);
    // one that had not begun to listen is ended by the signal itself
    expect({ code, signal, stdout }).toEqual(signal === null ? { code: 130, signal, stdout: '' } : { code: null, signal: 'SIGINT', stdout: '' });
    expect(performance.now() - sent).toBeLessThan(5000);
    expect(existsSync(output)).toBe(false);
    expect(readdirSync(folder).filter((entry) => entry.startsWith(name) && entry !== `${name}.penjing`)).toEqual([]);
    expect(await penjing(simplify(output, '--resume'))).toMatchObject({ code: 0 });
    expect(existsSync(output)).toBe(true);
    expect(existsSync(`${output}.penjing`)).toBe(false);
  });
});
