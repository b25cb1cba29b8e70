/** The embedded model, finetuned by the command and killed in the middle: resumed it gives the same bytes, and half of its layers learn from all of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestFolder } from './support/digest-folder.js';
import { penjing, startPenjing } from './support/penjing-process.js';

const sapling = fileURLToPath(new URL('../models/sapling', import.meta.url));
let folder: string;
let text: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-finetune-'));
  text = join(folder, 'text.txt');
  await writeFile(text, readFileSync(join(sapling, 'heldout.txt'), 'utf8').slice(0, 60_000));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Weights and tables; the manifest says when it was written. */
const digest = (path: string): string => digestFolder(path, { without: 'penjing.json' });

const finetune = (output: string, ...more: string[]): string[] =>
  ['finetune', sapling, '-o', output, '--data', text, '--steps', '24', '--batch', '2', '--length', '32', '--checkpoint-every', '4', '--validate-every', '8', '--seed', '3', '--json', ...more];

test('killed in the middle and resumed it gives the same bytes; interrupted it keeps the step', async () => {
  const whole = join(folder, 'whole');
  const wanted = await penjing(finetune(whole), { milliseconds: 280_000 });
  expect(wanted.code).toBe(0);
  const output = join(folder, 'killed');
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    const run = startPenjing(finetune(output, ...(signal === 'SIGINT' ? ['--resume'] : [])), { milliseconds: 280_000 });
    const heads = join(`${output}.penjing`, 'training', 'model-0');
    // Two more checkpoints, then in the midst of whatever it does.
    const count = existsSync(heads) ? readdirSync(heads).length : 0;
    while (run.process.exitCode === null && !(existsSync(heads) && readdirSync(heads).length > count + 60)) await wait(20);
    run.process.kill(signal);
    const { code } = await run.ended;
    if (signal === 'SIGINT') expect(code).toBe(130);
    expect(existsSync(output)).toBe(false);
  }
  const resumed = await penjing(finetune(output, '--resume'), { milliseconds: 280_000 });
  expect(resumed.code).toBe(0);
  const [ours, theirs] = [wanted, resumed].map(({ stdout }) => (JSON.parse(stdout) as { training: { losses: number[]; resumedAt?: number; validations: unknown[] }[] }).training[0]!);
  expect(theirs!.resumedAt).toBeGreaterThan(0);
  expect(theirs!.losses).toEqual(ours!.losses);
  expect(theirs!.validations).toEqual(ours!.validations);
  expect(digest(output)).toBe(digest(whole));
  expect(existsSync(`${output}.penjing`)).toBe(false);
}, 900_000);

test('half of the layers learn from all of them', async () => {
  const output = join(folder, 'half');
  const { code, stdout } = await penjing(['distill', sapling, '--student', 'layers:half', '-o', output, '--data', text, '--steps', '30', '--batch', '4', '--length', '64', '--preset', 'minitron', '--rate', '1e-3', '--seed', '1', '--json'], { milliseconds: 280_000 });
  expect(code).toBe(0);
  const { validations } = (JSON.parse(stdout) as { training: { validations: { loss: number }[] }[] }).training[0]!;
  expect(validations.at(-1)!.loss).toBeLessThan(validations[0]!.loss - 0.2);
  expect((JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { num_hidden_layers: number }).num_hidden_layers).toBe(2);
  const measured = await penjing(['eval', output, '--data', text, '--max-tokens', '512', '--json'], { milliseconds: 120_000 });
  expect(Math.log((JSON.parse(measured.stdout) as { perplexity: number }).perplexity)).toBeCloseTo(validations.at(-1)!.loss, 0);
}, 900_000);
