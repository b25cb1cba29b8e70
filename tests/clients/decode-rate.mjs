/**
 * Times the real transformers.js on a local decoder and prints JSON: node decode-rate.mjs FOLDER --dtype q4 --context 1024 --tokens 32 --threads 2
 * Output: { version, prefillMs, tokenMs: [...], peakRssBytes }; the prompt is seeded random tokens.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AutoModelForCausalLM, Tensor } from '@huggingface/transformers';
import { localModel } from './local-model.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dtype: { type: 'string', default: 'q4' }, context: { type: 'string', default: '128' }, tokens: { type: 'string', default: '32' }, threads: { type: 'string', default: '2' }, vocabulary: { type: 'string', default: '32000' } },
});
const [context, count] = [Number(values.context), Number(values.tokens)];
const model = await AutoModelForCausalLM.from_pretrained(localModel(positionals[0]), { dtype: values.dtype, device: 'cpu', session_options: { intraOpNumThreads: Number(values.threads), interOpNumThreads: 1 } });
let state = 1;
const next = () => (state = (state * 48271) % 2147483647) % Number(values.vocabulary);
const prompt = BigInt64Array.from({ length: context }, () => BigInt(next()));
const inputs = { input_ids: new Tensor('int64', prompt, [1, context]), attention_mask: new Tensor('int64', new BigInt64Array(context).fill(1n), [1, context]) };
const times = [];
// the first call is the prompt, each later one a token
const streamer = { put: () => times.push(performance.now()), end: () => {} };
const started = performance.now();
await model.generate({ ...inputs, max_new_tokens: count + 1, min_new_tokens: count + 1, do_sample: false, streamer });
// put() is called for the prompt itself, before anything is computed
const [, first, ...later] = times;
const { version } = JSON.parse(readFileSync(new URL('./node_modules/@huggingface/transformers/package.json', import.meta.url), 'utf8'));
console.log(JSON.stringify({ version, prefillMs: first - started, tokenMs: later.map((time, i) => time - (later[i - 1] ?? first)), peakRssBytes: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);
