/** Calibrated runs of the command itself: killed in the middle and resumed, and the options that come before or beside integers. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from './architecture/sources.js';
import { digestFolder } from './support/digest-folder.js';
import { penjing, startPenjing } from './support/penjing-process.js';

const sapling = join(root, 'models/sapling');
/** Jobs of a run, after which it is killed. */
const MOMENTS = [1, 7, 15];

let folder: string;
let text: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-calibrated-'));
  text = join(folder, 'text.txt');
  writeFileSync(text, readFileSync(join(sapling, 'heldout.txt')).subarray(0, 60_000));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Outputs of jobs that a run has kept so far. */
function keptResults(output: string): number {
  try {
    return readdirSync(join(`${output}.penjing`, 'results')).length;
  } catch {
    return 0;
  }
}

interface Json {
  readonly records: readonly { readonly name: string; readonly method: string; readonly note?: string; readonly bytesBefore: number; readonly bytesAfter: number }[];
  readonly error?: { readonly code: string; readonly message: string };
}

async function json(...argv: string[]): Promise<Json & { code: number | null }> {
  const { code, stdout } = await penjing([...argv, '--json'], { milliseconds: 400_000 });
  return { ...(JSON.parse(stdout) as Json), code };
}

describe('GPTQ of the embedded model', () => {
  const quantize = (output: string, ...more: string[]): string[] => ['quantize', sapling, '-o', output, '--method', 'gptq', '--bits', '4', '--data', text, '--samples', '4', '--threads', '1', '--no-check', ...more];

  test('killed after some of its layers it goes on behind them, to the same bytes', async () => {
    const whole = join(folder, 'whole');
    expect(await penjing(quantize(whole), { milliseconds: 400_000 })).toMatchObject({ code: 0 });
    const wanted = digestFolder(whole);
    for (const moment of MOMENTS) {
      const output = join(folder, `killed-${moment}`);
      const run = startPenjing(quantize(output), { milliseconds: 400_000 });
      while (run.process.exitCode === null && keptResults(output) < moment) await wait(2);
      run.process.kill('SIGKILL');
      expect(await run.ended, 'the signal came before the end').toMatchObject({ signal: 'SIGKILL', code: null });
      expect(readdirSync(folder).filter((name) => name.startsWith(`killed-${moment}`))).toEqual([`killed-${moment}.penjing`]);
      const kept = keptResults(output);
      expect(kept).toBeGreaterThanOrEqual(moment);
      // what was kept is taken: it stays as it was written, as long as the work folder is there
      const results = join(`${output}.penjing`, 'results');
      const written = new Map(readdirSync(results).map((name) => [name, statSync(join(results, name)).mtimeMs]));
      const again = startPenjing(quantize(output, '--resume'), { milliseconds: 400_000 });
      while (again.process.exitCode === null && keptResults(output) === kept) await wait(2);
      if (keptResults(output) > kept) for (const [name, time] of written) expect(statSync(join(results, name), { throwIfNoEntry: false })?.mtimeMs ?? time).toBe(time);
      expect(await again.ended).toMatchObject({ code: 0 });
      expect(digestFolder(output)).toBe(wanted);
      await rm(output, { recursive: true });
    }
  }, 900_000);
});

describe('options beside integers', () => {
  test('--smooth divides channels before int8, with the share that is given; data and integers are needed for it', async () => {
    const dynamic = (output: string, ...more: string[]): string[] => ['quantize', sapling, '-o', join(folder, output), '--dynamic', '--no-check', ...more];
    const data = ['--data', text, '--samples', '4'];
    const plain = await json(...dynamic('plain'));
    const smooth = await json(...dynamic('smooth', '--smooth', ...data));
    const less = await json(...dynamic('less', '--smooth', '0.3', ...data));
    expect([plain.code, smooth.code, less.code]).toEqual([0, 0, 0]);
    const smoothed = ({ records }: Json): string[] => records.filter(({ method }) => method.startsWith('smooth')).map(({ method }) => method);
    expect(smoothed(plain)).toEqual([]);
    expect(new Set(smoothed(smooth))).toEqual(new Set(['smooth α 0.5']));
    expect(new Set(smoothed(less))).toEqual(new Set(['smooth α 0.3']));
    expect(smooth.records.filter(({ method }) => method.startsWith('dynamic')).length).toBe(plain.records.filter(({ method }) => method.startsWith('dynamic')).length);
    expect(digestFolder(join(folder, 'smooth'))).not.toBe(digestFolder(join(folder, 'plain')));
    const multiplied = await json(...dynamic('multiplied', '--smooth', '--smooth-multiply', ...data));
    expect(smoothed(multiplied).length).toBeGreaterThan(smoothed(smooth).length);
    expect((await json(...dynamic('no-data', '--smooth'))).error?.code).toMatch(/E_(DATA|OPTION)/);
    expect((await json(...dynamic('wrong', '--smooth', '2', ...data))).error?.code).toMatch(/^E_(OPTION|USAGE)$/);
    expect((await json('quantize', sapling, '-o', join(folder, 'int4'), '--bits', '4', '--smooth', ...data)).error?.code).toMatch(/^E_(OPTION|USAGE)$/);
    expect((await json(...dynamic('alone', '--smooth-multiply', ...data))).error?.code).toMatch(/^E_(OPTION|USAGE)$/);
  }, 600_000);

  test('--compute computes in float16 and keeps what overflows on the data', async () => {
    const half = (output: string, ...more: string[]): string[] => ['quantize', sapling, '-o', join(folder, output), '--dtype', 'float16', ...more];
    const data = ['--data', text, '--samples', '2'];
    const computed = await json(...half('half', '--compute', ...data));
    expect(computed.code).toBe(0);
    const converted = computed.records.filter(({ method }) => method === 'float16');
    expect(converted.length).toBeGreaterThan(20);
    for (const { bytesBefore, bytesAfter } of converted) expect(bytesAfter).toBe(bytesBefore / 2);
    // the graph computes in it: its weights are read as they are, nothing casts them back
    const inspected = await penjing(['inspect', join(folder, 'half'), '--json']);
    expect(inspected.code).toBe(0);
    expect(inspected.stdout).toMatch(/float16/);
    const cautious = await json(...half('cautious', '--compute', '--headroom', '100000', ...data));
    expect(cautious.code).toBe(0);
    expect(cautious.records.filter(({ method }) => method === 'float16').length).toBeLessThan(converted.length);
    expect((await json(...half('alone', '--headroom', '4', ...data))).error?.code).toBe('E_OPTION');
    expect((await json('quantize', sapling, '-o', join(folder, 'ints'), '--bits', '4', '--compute', ...data)).error?.code).toBe('E_OPTION');
  }, 600_000);
});
