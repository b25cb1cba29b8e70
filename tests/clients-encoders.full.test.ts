/** Pipelines of the real transformers.js, without a network, give on converted encoders what transformers gives on the checkpoints. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runRecipe } from '@penjing/recipe';
import { afterAll, beforeAll, expect, test } from 'vitest';

interface Job {
  readonly pipeline: string;
  readonly output: unknown;
}

const execute = promisify(execFile);
const clients = join(import.meta.dirname, 'clients');
const fixtures = join(import.meta.dirname, 'fixtures', 'encoders');
let temporary = '';

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'penjing-encoders-'));
  if (!existsSync(join(clients, 'node_modules', '@huggingface', 'transformers'))) {
    await execute('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
}, 300_000);
afterAll(() => rm(temporary, { recursive: true, force: true }));

const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { cases: { name: string; tasks: string[] }[] };
const rows = cases.flatMap(({ name, tasks }) => {
  const path = join(fixtures, name, 'pipelines.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Job[]).map((job) => ({ name, job, pipeline: job.pipeline, own: tasks[0] })) : [];
});

test.each(rows)('$name: $pipeline', async ({ name, job, own }) => {
  // the task is named only where it is not the one of the class
  const steps = [{ convert: job.pipeline === own ? {} : { task: job.pipeline } }];
  const folder = join(temporary, `${name}-${job.pipeline}`);
  await runRecipe({ input: join(fixtures, name), output: folder, steps }, { check: false });
  const jobs = `${folder}.jobs.json`;
  await writeFile(jobs, JSON.stringify([job]));
  const { stdout } = await execute(process.execPath, ['pipelines.mjs', folder, jobs], { cwd: clients, maxBuffer: 2 ** 26 });
  const { outputs } = JSON.parse(stdout.slice(stdout.indexOf('{"version"'))) as { outputs: unknown[] };
  expectClose(outputs[0], job.output);
});

/** The same, numbers within 1e-4. */
function expectClose(actual: unknown, wanted: unknown, where = 'output'): void {
  if (typeof wanted === 'number') {
    expect([where, typeof actual]).toEqual([where, 'number']);
    expect(Math.abs((actual as number) - wanted), where).toBeLessThan(1e-4);
  } else if (typeof wanted === 'object' && wanted !== null) {
    expect([where, Object.keys(actual as object).sort()]).toEqual([where, Object.keys(wanted).sort()]);
    for (const [key, value] of Object.entries(wanted)) expectClose((actual as Record<string, unknown>)[key], value, `${where}.${key}`);
  } else {
    expect([where, actual]).toEqual([where, wanted]);
  }
}
