/** Trainings that are killed, find no room, or are not alone: nothing half-made, the last checkpoint intact, and the same weights in the end. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';
import { classifier, printed as json, trainingFolder, weightsOf, writeModel } from './support/training-verbs.js';

let folder: Awaited<ReturnType<typeof trainingFolder>>;
const at = (name: string): string => folder.at(name);

beforeAll(async () => void (folder = await trainingFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

/** Long enough to be met in the middle. */
const distil = (output: string, ...more: string[]): string[] =>
  ['distill', at('large.onnx'), '--student', at('small.onnx'), '-o', output, '--data', at('data.jsonl'), '--steps', '600', '--batch', '4', '--rate', '0.01', '--checkpoint-every', '5', '--validate-every', '100', '--cache-teacher', '--seed', '2', '--threads', '1', '--no-check', ...more];

/** On busy machines a start alone takes a minute. */
const PATIENT = { milliseconds: 280_000 };

/** Waits until a run has kept a checkpoint of its own, or ended. */
async function begun({ process }: Running, output: string): Promise<void> {
  const shelf = `${output}.penjing/training/model-0`;
  const since = Date.now();
  const written = (): number => (existsSync(shelf) ? readdirSync(shelf).filter((name) => (statSync(join(shelf, name), { throwIfNoEntry: false })?.mtimeMs ?? 0) > since).length : 0);
  while (process.exitCode === null && written() < 12) await wait(5);
}

async function uninterrupted(): Promise<Record<string, number[]>> {
  if (!existsSync(at('whole.onnx'))) expect((await run(...distil(at('whole.onnx')), '--quiet')).code).toBe(0);
  return weightsOf(at('whole.onnx'));
}

test('killed and interrupted, a distillation goes on to the same weights', async () => {
  const output = at('killed.onnx');
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    const running = startPenjing(distil(output, ...(signal === 'SIGINT' ? ['--resume'] : [])), PATIENT);
    await begun(running, output);
    running.process.kill(signal);
    const { code, stderr } = await running.ended;
    expect(code).toBe(signal === 'SIGINT' ? 130 : null);
    if (signal === 'SIGINT') expect(stderr).toMatch(/with a checkpoint: the same command with --resume goes on from it\n.*interrupted\n$/s);
    expect(existsSync(output)).toBe(false);
  }
  const resumed = await penjing(distil(output, '--resume'), PATIENT);
  expect(resumed).toMatchObject({ code: 0 });
  expect(resumed.stderr).toMatch(/went on from step \d+/);
  expect(resumed.stderr).not.toMatch(/computed anew/);
  expect(await weightsOf(output)).toEqual(await uninterrupted());
  expect(existsSync(`${output}.penjing`)).toBe(false);
}, 600_000);

test('a second run on the same output, and one on an output that is there, are refused at once', async () => {
  const output = at('busy.onnx');
  const first = startPenjing(distil(output).map((word) => (word === '600' ? '1000000' : word)), PATIENT);
  await begun(first, output);
  const second = await run(...distil(output, '--json'));
  expect(json(second.stdout).error.code).toBe('E_BUSY');
  first.process.kill('SIGINT');
  expect((await first.ended).code).toBe(130);
  const wanted = await uninterrupted();
  expect(json((await run(...distil(at('whole.onnx'), '--json'))).stdout).error.code).toBe('E_EXISTS');
  expect(await weightsOf(at('whole.onnx'))).toEqual(wanted);
}, 600_000);

test('a disk that is full at a checkpoint keeps the one before it', async ({ skip }) => {
  const disk = at('disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    skip('this user cannot mount a small disk');
  }
  try {
    const output = at('disk/taught.onnx');
    // longer than it takes to fill a disk beside other work
    const long = (target: string, ...more: string[]): string[] => distil(target, ...more).map((word) => (word === '600' ? '3000' : word));
    const running = startPenjing(long(output, '--json'), PATIENT);
    await begun(running, output);
    const filler = at('disk/filler');
    for (let size = 1 << 20; size >= 4096; size >>= 1) {
      for (let i = 0; i < 4; i++) {
        try {
          writeFileSync(filler, new Uint8Array(size), { flag: 'a' });
        } catch {
          break;
        }
      }
    }
    const { code, stdout } = await running.ended;
    expect(code).toBe(1);
    expect(json(stdout).error).toMatchObject({ code: 'E_DISK_FULL', hint: expect.stringMatching(/The checkpoint of step \d+ is intact/) as string });
    expect(existsSync(output)).toBe(false);
    rmSync(filler);
    const again = await run(...long(output, '--resume', '--json'));
    expect(json(again.stdout).training[0]).toMatchObject({ resumedAt: expect.any(Number) as number });
    expect((await run(...long(at('long.onnx')), '--quiet')).code).toBe(0);
    expect(await weightsOf(output)).toEqual(await weightsOf(at('long.onnx')));
  } finally {
    // lazily: workers of this process may still let go of files there
    execFileSync('umount', ['--lazy', disk]);
  }
}, 600_000);

test('a student of other classes is refused, and what explodes is given back as it was', async () => {
  await writeModel(at('five.onnx'), classifier(4, 5));
  const other = await run(...distil(at('never.onnx'), '--json').map((word) => (word === at('small.onnx') ? at('five.onnx') : word)));
  expect(json(other.stdout).error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/teacher tells 3 classes or tokens apart, the student 5/) as string });
  expect(existsSync(at('never.onnx'))).toBe(false);

  const wild = await run('finetune', at('small.onnx'), '-o', at('wild.onnx'), '--data', at('data.jsonl'), '--steps', '20', '--rate', '1e3', '--warmup', '0', '--seed', '1', '--json');
  expect(wild.code).toBe(0);
  const result = json(wild.stdout) as unknown as { warnings: string[]; training: { best: { step: number } }[] };
  expect(result.training[0]!.best.step).toBe(0);
  expect(result.warnings.join()).toMatch(/the weights are as they were/);
  expect(await weightsOf(at('wild.onnx'))).toEqual(await weightsOf(at('small.onnx')));
}, 600_000);
