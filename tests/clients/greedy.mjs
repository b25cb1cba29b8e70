/**
 * Generates greedily with the real transformers.js from a local model folder and prints the tokens as JSON:
 *   node greedy.mjs FOLDER [--dtypes fp32,q8,q4] [--tokens 20] [--prompt TEXT]...
 * Output: { version, results: [{ dtype, prompt, promptTokens: [...], tokens: [...] }] }.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { AutoModelForCausalLM, AutoTokenizer, env } from '@huggingface/transformers';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtypes: { type: 'string', default: 'fp32,q8,q4' },
    tokens: { type: 'string', default: '20' },
    prompt: { type: 'string', multiple: true, default: ['Once upon a time'] },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('usage: node greedy.mjs FOLDER [--dtypes fp32,q8,q4] [--tokens 20] [--prompt TEXT]...');
  process.exit(2);
}

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = dirname(resolve(folder));
const name = basename(resolve(folder));
const ids = (tensor) => Array.from(tensor.data, Number);

const tokenizer = await AutoTokenizer.from_pretrained(name);
const results = [];
for (const dtype of values.dtypes.split(',')) {
  const model = await AutoModelForCausalLM.from_pretrained(name, { dtype, device: 'cpu' });
  for (const prompt of values.prompt) {
    const inputs = tokenizer(prompt);
    const promptTokens = ids(inputs.input_ids);
    const output = await model.generate({ ...inputs, max_new_tokens: Number(values.tokens), do_sample: false });
    results.push({ dtype, prompt, promptTokens, tokens: ids(output).slice(promptTokens.length) });
  }
  await model.dispose();
}
const { version } = JSON.parse(readFileSync(new URL('./node_modules/@huggingface/transformers/package.json', import.meta.url), 'utf8'));
console.log(JSON.stringify({ version, results }));
