/**
 * Real clients read our output: transformers.js generates the same greedy tokens as our runtime. Folders to try besides the
 * built-in one: PENJING_CLIENT_FOLDERS, separated by colons, each with fp32, q8 and q4.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type RecipeStep, runRecipe } from '@penjing/recipe';
import { loadGenerator } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeModelFolder } from '../packages/runtime/src/testing/model-folder.js';
import { tinyDecoder } from '../packages/runtime/src/testing/tiny-decoder.js';
import { testData } from './tools/test-data.js';

interface ClientOutput {
  readonly version: string;
  readonly results: readonly { readonly dtype: string; readonly prompt: string; readonly promptTokens: number[]; readonly tokens: number[] }[];
}

const execute = promisify(execFile);
const clients = join(import.meta.dirname, 'clients');
const prompts = ['Once upon a time', 'The king', 'a'];
let tiny = '';

beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules', '@huggingface', 'transformers'))) {
    await execute('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
  tiny = await writeModelFolder({ '': tinyDecoder(), _quantized: tinyDecoder({ noise: 0.01 }), _q4: tinyDecoder({ noise: 0.02 }) });
  const merge = async (name: string, more: object): Promise<void> => {
    const path = join(tiny, name);
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...more }));
  };
  await merge('config.json', { model_type: 'llama', num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, hidden_size: 16, head_dim: 8, eos_token_id: 1 });
  await merge('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast' });
}, 300_000);
afterAll(() => rm(tiny, { recursive: true }));

/** stories260K by the recipe that users run: fp32, then q8 and q4 added to the same folder. */
async function convertStories(output: string): Promise<string> {
  const input = join(testData!, 'models', 'stories260k', 'hf');
  for (const steps of [[], [{ quantize: { bits: 8 } }], [{ quantize: { bits: 4 } }]] satisfies RecipeStep[][]) {
    await runRecipe({ input, output, steps: [{ convert: {} }, ...steps] }, { check: false });
  }
  return output;
}

const folders = (process.env['PENJING_CLIENT_FOLDERS'] ?? '').split(':').filter((folder) => folder !== '');

test.each(['a tiny decoder', ...(testData ? ['stories260K'] : []), ...folders])('transformers.js and our runtime agree on %s', async (given) => {
  const folder = given === 'a tiny decoder' ? tiny : given === 'stories260K' ? await convertStories(join(tiny, 'stories')) : given;
  const { stdout } = await execute(process.execPath, ['greedy.mjs', folder, '--tokens', '20', ...prompts.flatMap((prompt) => ['--prompt', prompt])], { cwd: clients });
  const { results } = JSON.parse(stdout) as ClientOutput;
  expect(results).toHaveLength(3 * prompts.length);
  for (const variant of ['fp32', 'q8', 'q4']) {
    await using generator = await loadGenerator(folder, { variant });
    for (const { prompt, promptTokens, tokens } of results.filter(({ dtype }) => dtype === variant)) {
      expect(generator.tokenizer.encode(prompt)).toEqual(promptTokens);
      const ours = await generator.generate(prompt, { maxNewTokens: 20 });
      // transformers.js keeps the end token in its output.
      expect([variant, prompt, ...ours.tokens]).toEqual([variant, prompt, ...tokens.slice(0, ours.tokens.length)]);
      expect(tokens.length - ours.tokens.length).toBe(ours.finishReason === 'end' ? 1 : 0);
    }
  }
});
