/** The real transformers.js loads converted encoder-decoders and writes the tokens that transformers writes. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type RecipeStep, runRecipe } from '@penjing/recipe';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recorded } from './support/hf-decoder.js';

const execute = promisify(execFile);
const clients = join(import.meta.dirname, 'clients');
const fixtures = join(import.meta.dirname, 'fixtures', 'seq2seq');
const VARIANTS: Readonly<Record<string, readonly RecipeStep[]>> = {
  fp32: [{ convert: {} }],
  fp16: [{ convert: { dtype: 'float16' } }],
  q8: [{ convert: {} }, { quantize: { bits: 8 } }],
  q4: [{ convert: {} }, { quantize: { bits: 4 } }],
};
const END = 1;
let temporary = '';

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'penjing-clients-'));
  if (!existsSync(join(clients, 'node_modules', '@huggingface', 'transformers'))) {
    await execute('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
}, 300_000);
afterAll(() => rm(temporary, { recursive: true, force: true }));

test.each(['t5', 't5-gated', 'mt5', 'bart', 'mbart', 'marian', 'whisper', 'whisper-deep'])('%s', async (name) => {
  const source = join(temporary, `${name}-source`);
  const output = join(temporary, name);
  await cp(join(fixtures, name), source, { recursive: true, filter: (path) => !path.endsWith('expected.safetensors') });
  for (const steps of Object.values(VARIANTS)) await runRecipe({ input: source, output, steps }, { check: false });

  const { floats, ids } = await recorded(join(fixtures, name, 'expected.safetensors'));
  const greedy = [...ids('greedy.ids').data].map(Number);
  const of = (type: string, { data, shape }: { readonly data: ArrayLike<bigint | number>; readonly shape: readonly number[] }): object => ({ type, dims: shape, data: Array.from(data, Number) });
  const inputs = name.startsWith('whisper')
    ? { input_features: of('float32', floats('encoder.input_features')) }
    : { input_ids: of('int64', ids('encoder.input_ids')), attention_mask: of('int64', ids('encoder.attention_mask')) };
  const file = join(temporary, `${name}.json`);
  await writeFile(file, JSON.stringify({ tokens: greedy.length - 1, inputs }));
  const { stdout } = await execute(process.execPath, ['seq2seq.mjs', output, file, Object.keys(VARIANTS).join(',')], { cwd: clients, maxBuffer: 2 ** 26 });
  const results = JSON.parse(stdout) as Record<string, number[][]>;

  // the recording goes on behind the end token, a client stops there
  const end = greedy.indexOf(END, 1);
  const wanted = end < 0 ? greedy : greedy.slice(0, end + 1);
  for (const [dtype, rows] of Object.entries(results)) {
    expect([dtype, rows.length, rows[0]!.length > 1]).toEqual([dtype, 2, true]);
    if (dtype.startsWith('fp')) expect([dtype, ...rows[0]!.slice(0, wanted.length)]).toEqual([dtype, ...wanted]);
  }
});
