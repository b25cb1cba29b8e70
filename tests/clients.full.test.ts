/**
 * Real clients read our output: transformers.js, without a network, generates the same greedy tokens as our runtime, prompt
 * by prompt and in a left-padded batch (with quantized weights: up to near-ties, see below). Folders to try besides the built-in ones: PENJING_CLIENT_FOLDERS, separated by
 * colons, each with fp32, q8 and q4.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type RecipeStep, runRecipe } from '@penjing/recipe';
import { loadGenerator } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeModelFolder } from '../packages/runtime/src/testing/model-folder.js';
import { tinyDecoder } from '../packages/runtime/src/testing/tiny-decoder.js';
import { root } from './architecture/sources.js';
import { testData } from './tools/test-data.js';

interface Written {
  readonly dtype: string;
  readonly prompt: string;
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
  readonly finishReason: string;
}

interface ClientResult {
  readonly dtype: string;
  readonly prompt: string;
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
  readonly batched: readonly number[];
  readonly margin: number;
  readonly parted: number;
}

const execute = promisify(execFile);
const clients = join(import.meta.dirname, 'clients');
const NEW_TOKENS = 40;
/** Logits that differ by less are level. */
const NEAR_TIE = 0.1;
const VARIANTS: Readonly<Record<string, readonly RecipeStep[]>> = {
  fp32: [{ convert: {} }],
  fp16: [{ convert: { dtype: 'float16' } }],
  q8: [{ convert: {} }, { quantize: { bits: 8 } }],
  q4: [{ convert: {} }, { quantize: { bits: 4 } }],
};
let temporary = '';

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'penjing-clients-'));
  if (!existsSync(join(clients, 'node_modules', '@huggingface', 'transformers'))) {
    await execute('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
}, 300_000);
afterAll(() => rm(temporary, { recursive: true, force: true }));

/** By the recipe that users run: each variant added to the same folder. */
async function convert(input: string, output: string, externalData: 'auto' | 'always'): Promise<string> {
  for (const steps of Object.values(VARIANTS)) await runRecipe({ input, output, steps }, { check: false, externalData });
  return output;
}

/** Our runtime's tokens against those of transformers.js, which keeps the end token and pads behind it. */
async function expectSameTokens(folder: string, dtypes: readonly string[], prompts: readonly string[]): Promise<void> {
  const write = async (asStored: boolean): Promise<Written[]> => {
    const written: Written[] = [];
    for (const dtype of dtypes) {
      await using generator = await loadGenerator(folder, { variant: dtype, asStored });
      for (const prompt of prompts) {
        const { tokens, finishReason } = await generator.generate(prompt, { maxNewTokens: NEW_TOKENS });
        written.push({ dtype, prompt, promptTokens: generator.tokenizer.encode(prompt), tokens, finishReason });
      }
    }
    return written;
  };
  const [stored, written] = [await write(true), await write(false)];
  const others = join(temporary, 'written.json');
  await writeFile(others, JSON.stringify(written));
  const args = ['greedy.mjs', folder, '--dtypes', dtypes.join(','), '--tokens', String(NEW_TOKENS), '--others', others, ...prompts.flatMap((prompt) => ['--prompt', prompt])];
  const { stdout } = await execute(process.execPath, args, { cwd: clients, maxBuffer: 2 ** 26 });
  const { results } = JSON.parse(stdout) as { results: ClientResult[] };
  expect(results).toHaveLength(dtypes.length * prompts.length);
  for (const { dtype, prompt, promptTokens, tokens, batched, margin, parted } of results) {
    const of = (list: readonly Written[]): Written => list.find((text) => text.dtype === dtype && text.prompt === prompt)!;
    const ours = of(stored);
    expect(ours.promptTokens).toEqual(promptTokens);
    const end = ours.tokens.length;
    expect([dtype, prompt, ...tokens.slice(0, end)]).toEqual([dtype, prompt, ...ours.tokens]);
    expect(tokens.length - end).toBe(ours.finishReason === 'end' ? 1 : 0);
    // With 8-bit arithmetic ONNX Runtime rounds otherwise for one row than for many, and for attention in another form: near-ties may fall either way.
    if (!dtype.startsWith('q')) {
      expect(of(written).tokens).toEqual(ours.tokens);
      expect([dtype, 'batched', prompt, ...batched.slice(0, end)]).toEqual([dtype, 'batched', prompt, ...ours.tokens]);
    } else expect([dtype, prompt, margin < NEAR_TIE, parted < NEAR_TIE]).toEqual([dtype, prompt, true, true]);
  }
}

test.each(['auto', 'always'] as const)('sapling, external data: %s', async (externalData) => {
  const folder = await convert(join(root, 'models', 'sapling'), join(temporary, `sapling-${externalData}`), externalData);
  const { greedy } = JSON.parse(await readFile(join(root, 'models', 'sapling', 'expected.json'), 'utf8')) as { greedy: { prompt: string }[] };
  await expectSameTokens(folder, Object.keys(VARIANTS), [...greedy.map(({ prompt }) => prompt), 'First Citizen:', 'The']);
});

test.skipIf(!testData)('stories260K (needs the test data)', async () => {
  const folder = await convert(join(testData!, 'models', 'stories260k', 'hf'), join(temporary, 'stories'), 'auto');
  await expectSameTokens(folder, Object.keys(VARIANTS), ['Once upon a time', 'Lily and her dog went to the', 'The king']);
});

test('a decoder with every variant of its own', async () => {
  const folder = await writeModelFolder({ '': tinyDecoder(), _quantized: tinyDecoder({ noise: 0.01 }), _q4: tinyDecoder({ noise: 0.02 }) });
  const merge = async (name: string, more: object): Promise<void> => {
    const path = join(folder, name);
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...more }));
  };
  await merge('config.json', { model_type: 'llama', num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, hidden_size: 16, head_dim: 8, eos_token_id: 1 });
  await merge('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast' });
  await expectSameTokens(folder, ['fp32', 'q8', 'q4'], ['The king']).finally(() => rm(folder, { recursive: true })); // it ignores its mask: no batch
});

const given = (process.env['PENJING_CLIENT_FOLDERS'] ?? '').split(':').filter((folder) => folder !== '');
test.each(given)('%s', (folder) => expectSameTokens(folder, ['fp32', 'q8', 'q4'], ['Once upon a time', 'The king', 'a']));
