/** transformers.js, without a network, gives on converted sentence embedders the embeddings of sentence-transformers. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runRecipe } from '@penjing/recipe';
import { afterAll, beforeAll, expect, test } from 'vitest';

interface Texts {
  readonly texts: readonly string[];
  readonly embeddings: readonly (readonly number[])[];
}

const execute = promisify(execFile);
const clients = join(import.meta.dirname, 'clients');
const fixtures = join(import.meta.dirname, 'fixtures', 'sentences');
let temporary = '';

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'penjing-sentences-'));
  if (!existsSync(join(clients, 'node_modules', '@huggingface', 'transformers'))) {
    await execute('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
}, 300_000);
afterAll(() => rm(temporary, { recursive: true, force: true }));

const recorded = (name: string): Texts => JSON.parse(readFileSync(join(fixtures, name, 'texts.json'), 'utf8')) as Texts;

async function convert(name: string, task?: string): Promise<string> {
  const folder = join(temporary, `${name}-${task ?? 'own'}-${Math.random()}`);
  await runRecipe({ input: join(fixtures, name), output: folder, steps: [{ convert: task ? { task } : {} }] }, { check: false });
  return folder;
}

async function client(script: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await execute(process.execPath, [script, ...args], { cwd: clients, maxBuffer: 2 ** 26 });
  return JSON.parse(stdout.slice(stdout.search(/\{"(version|embeddings)"/)));
}

function expectClose(found: Texts['embeddings'], { embeddings }: Texts): void {
  expect(found.map((row) => row.length)).toEqual(embeddings.map((row) => row.length));
  expect(Math.max(...embeddings.flatMap((row, i) => row.map((value, j) => Math.abs(value - found[i]![j]!))))).toBeLessThan(1e-4);
}

test.each(['bert-mean', 'qwen3-last'])('%s: the embeddings that the graph gives, of texts padded to one length', async (name) => {
  const wanted = recorded(name);
  const { embeddings } = (await client('sentences.mjs', [await convert(name), ...wanted.texts])) as Texts;
  expectClose(embeddings, wanted);
});

// the states of tokens, of the whole folder or of its network alone, pooled by the client
test.each([
  ['bert-mean', 'mean', undefined],
  ['bert-mean', 'mean', 'feature-extraction'],
  ['qwen3-last', 'last_token', undefined],
  ['qwen3-last', 'last_token', 'feature-extraction'],
] as const)('%s, pooled by %s, task %s', async (name, pooling, task) => {
  const wanted = recorded(name);
  const folder = await convert(name, task);
  const jobs = `${folder}.jobs.json`;
  // the client takes the last place for the last token, which is right where nothing is padded on the right
  const inputs = [...(pooling === 'last_token' ? [] : [wanted.texts]), ...wanted.texts.map((text) => [text])];
  await writeFile(jobs, JSON.stringify(inputs.map((texts) => ({ pipeline: 'feature-extraction', input: [texts], options: { pooling, normalize: true } }))));
  const { outputs } = (await client('pipelines.mjs', [folder, jobs])) as { readonly outputs: readonly Texts['embeddings'][] };
  const rows = outputs.flat();
  for (let at = 0; at < rows.length; at += wanted.texts.length) expectClose(rows.slice(at, at + wanted.texts.length), wanted);
});
