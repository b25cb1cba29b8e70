/**
 * llama.cpp's greedy tokens: node greedy.mjs MODEL.gguf --tokens N --prompt TEXT… --ids 1,2,3… Prints JSON, per prompt its
 * own tokens and those that follow; ids are taken as they are.
 */
import { argv, exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { getLlama } from 'node-llama-cpp';

const { values, positionals } = parseArgs({
  args: argv.slice(2), allowPositionals: true,
  options: { tokens: { type: 'string' }, prompt: { type: 'string', multiple: true, default: [] }, ids: { type: 'string', multiple: true, default: [] } },
});
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath: positionals[0] });
// nothing but the rounding of activations is to differ from float32: llama.cpp itself keeps keys and values in float16
const context = await model.createContext({
  contextSize: 256, threads: 1, flashAttention: false, experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
});
const sequence = context.getSequence();
const results = [];
const tokenized = values.prompt.map((prompt) => [...(model.tokens.shouldPrependBosToken ? [model.tokens.bos] : []), ...model.tokenize(prompt, false)]);
for (const promptTokens of [...tokenized, ...values.ids.map((ids) => ids.split(',').map(Number))]) {
  await sequence.clearHistory();
  const tokens = [];
  for await (const token of sequence.evaluate(promptTokens, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === Number(values.tokens)) break;
  }
  results.push({ promptTokens, tokens });
}
stdout.write(JSON.stringify({ results }));
exit(0);
