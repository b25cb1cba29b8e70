/**
 * Generates greedily with the real transformers.js from a local model folder and prints the tokens as JSON:
 *   node greedy.mjs FOLDER [--dtypes fp32,q8,q4] [--tokens 20] [--prompt TEXT]... [--others FILE]
 * Output: { version, results: [{ dtype, prompt, promptTokens: [...], tokens: [...], batched: [...], margin, parted }] }, where
 * `batched` is what the prompt gives in one batch with the others, the shorter ones padded on the left, and `margin` how
 * much the two logits differ where `batched` leaves `tokens`: 0 when it does not. `parted` is the same for what another program wrote: FILE is [{ dtype, prompt, tokens }].
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AutoModelForCausalLM, AutoTokenizer, Tensor } from '@huggingface/transformers';
import { localModel } from './local-model.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtypes: { type: 'string', default: 'fp32,q8,q4' },
    tokens: { type: 'string', default: '20' },
    prompt: { type: 'string', multiple: true, default: ['Once upon a time'] },
    others: { type: 'string' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('usage: node greedy.mjs FOLDER [--dtypes fp32,q8,q4] [--tokens 20] [--prompt TEXT]...');
  process.exit(2);
}

const others = values.others ? JSON.parse(readFileSync(values.others, 'utf8')) : [];
const name = localModel(folder);
const ids = (tensor) => Array.from(tensor.data, Number);

/** Difference of the logits of both tokens at the first place where two generations part. */
async function marginOf(model, prompt, one, other) {
  const end = one.findIndex((token, i) => token !== other[i]);
  if (end < 0) return 0;
  const prefix = [...prompt, ...one.slice(0, end)];
  const tensor = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const { logits } = await model({ input_ids: tensor(prefix), attention_mask: tensor(prefix.map(() => 1)) });
  const last = logits.to('float32').data.slice(-logits.dims[2]);
  return Math.abs(last[one[end]] - last[other[end]]);
}

const tokenizer = await AutoTokenizer.from_pretrained(name);
tokenizer.padding_side = 'left';
const results = [];
for (const dtype of values.dtypes.split(',')) {
  const model = await AutoModelForCausalLM.from_pretrained(name, { dtype, device: 'cpu' });
  const options = { max_new_tokens: Number(values.tokens), do_sample: false };
  const batch = tokenizer(values.prompt, { padding: true });
  const [, width] = batch.input_ids.dims;
  const rows = (await model.generate({ ...batch, ...options })).tolist();
  for (const [i, prompt] of values.prompt.entries()) {
    const inputs = tokenizer(prompt);
    const promptTokens = ids(inputs.input_ids);
    const output = await model.generate({ ...inputs, ...options });
    const batched = rows[i].slice(width).map(Number);
    const tokens = ids(output).slice(promptTokens.length);
    const theirs = others.find((other) => other.dtype === dtype && other.prompt === prompt)?.tokens ?? tokens;
    // one of them may have gone on behind the end
    const common = Math.min(tokens.length, theirs.length);
    const parted = await marginOf(model, promptTokens, tokens.slice(0, common), theirs.slice(0, common));
    results.push({ dtype, prompt, promptTokens, tokens, batched, margin: await marginOf(model, promptTokens, tokens, batched), parted });
  }
  await model.dispose();
}
const { version } = JSON.parse(readFileSync(new URL('./node_modules/@huggingface/transformers/package.json', import.meta.url), 'utf8'));
console.log(JSON.stringify({ version, results }));
