/**
 * Times llama.cpp by node-llama-cpp and prints JSON: node decode-rate.mjs MODEL.gguf --context 1024 --tokens 32 --threads 2 [--sequences 8]
 * Output: { version, prefillMs, tokenMs: [...], peakRssBytes }; the prompt is seeded random tokens. With sequences, tokenMs is the time in which the slowest of them wrote a token.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { getLlama } from 'node-llama-cpp';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { context: { type: 'string', default: '128' }, tokens: { type: 'string', default: '32' }, threads: { type: 'string', default: '2' }, vocabulary: { type: 'string', default: '32000' }, sequences: { type: 'string', default: '1' } },
});
const [length, count, sequences, threads] = [values.context, values.tokens, values.sequences, values.threads].map(Number);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
const model = await llama.loadModel({ modelPath: positionals[0] });
const context = await model.createContext({ contextSize: length + 2 * count + 64 * (sequences > 1), sequences, threads, batchSize: 512 });
let state = 1;
const next = () => (state = (state * 48271) % 2147483647) % Number(values.vocabulary);
const prompts = Array.from({ length: sequences }, () => Array.from({ length }, next));
const started = performance.now();
let firstAt = 0;
const times = [];
const written = new Array(sequences).fill(0);
await Promise.all(
  prompts.map(async (prompt, index) => {
    const sequence = context.getSequence();
    for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
      written[index]++;
      const all = Math.min(...written);
      if (all === 1 && firstAt === 0) firstAt = performance.now();
      if (all - 1 > times.length) times.push(performance.now());
      // those that began first go on, so that all rows of a batch are filled to the end
      if (times.length >= count) break;
    }
  }),
);
const { version } = JSON.parse(readFileSync(new URL('./node_modules/node-llama-cpp/package.json', import.meta.url), 'utf8'));
console.log(JSON.stringify({ version, prefillMs: firstAt - started, tokenMs: times.map((time, i) => time - (times[i - 1] ?? firstAt)), peakRssBytes: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);
