/**
 * llama.cpp's greedy tokens: node greedy.mjs MODEL.gguf --tokens N --prompt TEXT… Prints JSON, per prompt its own tokens
 * and those that follow.
 */
import { argv, exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { getLlama } from 'node-llama-cpp';

const { values, positionals } = parseArgs({
  args: argv.slice(2), allowPositionals: true,
  options: { tokens: { type: 'string' }, prompt: { type: 'string', multiple: true } },
});
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath: positionals[0] });
const context = await model.createContext({ contextSize: 256, threads: 1 });
const sequence = context.getSequence();
const results = [];
for (const prompt of values.prompt) {
  await sequence.clearHistory();
  const own = model.tokenize(prompt, false);
  const promptTokens = [...(model.tokens.shouldPrependBosToken ? [model.tokens.bos] : []), ...own];
  const tokens = [];
  for await (const token of sequence.evaluate(promptTokens, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === Number(values.tokens)) break;
  }
  results.push({ promptTokens, tokens });
}
stdout.write(JSON.stringify({ results }));
exit(0);
