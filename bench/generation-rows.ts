/**
 * What a step of generation costs beside what ONNX Runtime takes: its products alone for 1 and for 8 rows, one run of the whole form, and the engine around it;
 * how soon a prompt begins whose beginning was read before; and memory over many tokens.
 * `npx tsx --conditions=@penjing/source bench/generation-rows.ts FOLDER [--variant q4] [--contexts 16,128] [--tokens 64] [--threads 2] [--rounds 3, 0 for the rest alone] [--kv-cache int8] [--rest [--long 10000]]`
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { loadGenerator, ortJobs } from '@penjing/runtime';
import { formRunJob } from './form-run-job.js';
import { generationRunJob, type RunInput } from './generation-run-job.js';
import { median } from './timed.js';

const { values, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: { variant: { type: 'string', default: 'q4' }, contexts: { type: 'string', default: '16,128' }, 'kv-cache': { type: 'string' }, tokens: { type: 'string', default: '64' }, threads: { type: 'string', default: '2' }, long: { type: 'string', default: '0' }, rounds: { type: 'string', default: '3' }, rest: { type: 'boolean', default: false } },
});
if (!folder) throw new Error('a folder with a decoder is needed');
const [tokens, threads] = [Number(values.tokens), Number(values.threads)];
const kvCache = values['kv-cache'] === 'int8' ? 'int8' : undefined;
const path = join(folder, 'onnx', `model_${values.variant}.onnx`);
await using file = await fileSource(path);
const model = await readOnnx(file);
await using jobs = ortJobs({ threads });

/** Milliseconds of the products of a step, each of its own input, with outputs that take no time to copy. */
async function products(rows: number): Promise<number> {
  const chain = new Model();
  for (const [domain, version] of model.opsetImports) chain.opsetImports.set(domain, version);
  const b = new GraphBuilder(chain.graph);
  const inputs = new Map<number, Value>();
  const sums: Value[] = [];
  for (const node of model.graph.nodes()) {
    if (node.opType !== 'MatMulNBits') continue;
    const width = node.int('K', 0);
    const x = inputs.get(width) ?? b.input(`x.${width}`, tensorType('float32', [rows, width]));
    inputs.set(width, x);
    const weights = node.inputs.slice(1).map((value) => value && b.initializer(value.name, value.tensor!));
    const attributes = Object.fromEntries(node.attributes);
    sums.push(b.op('ReduceMax', [b.op('MatMulNBits', [x, ...weights], attributes, { domain: 'com.microsoft' })], { keepdims: 0 }));
  }
  b.output(b.op('Sum', sums), 'sum', tensorType('float32', []));
  return timed(chain, Object.fromEntries([...inputs].map(([width, { name }]) => [name, { dtype: 'float32', shape: [rows, width] }])));
}

/** Milliseconds of one run of the form, with a full cache of `context` tokens. */
const bareRun = (rows: number, context: number): Promise<number> => jobs.run(formRunJob, { file: resolve(path), rows, context, runs: tokens, threads, int8Cache: kvCache !== undefined });

async function timed(graph: Model, feeds: RunInput['feeds']): Promise<number> {
  await using prepared = await jobs.prepare(graph);
  return await jobs.run(generationRunJob, { model: { kind: 'model', reference: prepared.reference }, feeds, below: 8, runs: tokens });
}

/** Milliseconds in which the slowest of `rows` texts writes a token, half of the tokens before `context` and half after it. */
async function engineStep(rows: number, context: number): Promise<number> {
  await using generator = await loadGenerator(folder!, { variant: values.variant, threads, kvCache });
  const written = new Array<number>(rows).fill(0);
  const times: number[] = [];
  const most = 2 * tokens + 64;
  await Promise.all(written.map(async (_, index) => {
    const prompt = Array.from({ length: Math.max(1, context - Math.round(tokens / 2)) }, (_, i) => (index * 7919 + i * 104_729) % generator.tokenizer.vocabSize);
    for await (const _piece of generator.stream(prompt, { maxNewTokens: most, ignoreEndToken: true })) {
      written[index]!++;
      if (Math.min(...written) > times.length) times.push(performance.now());
      if (times.length > tokens) break;
    }
  }));
  return median(times.slice(1).map((time, i) => time - times[i]!));
}

/** Milliseconds to the first token of a prompt of 1,000 tokens and 16 more, and of one with the same 1,000 before. */
async function prefix(): Promise<void> {
  await using generator = await loadGenerator(folder!, { variant: values.variant, threads });
  const prompt = (end: number): number[] => Array.from({ length: 1016 }, (_, i) => (i < 1000 ? i * 104_729 : end + i * 31) % generator.tokenizer.vocabSize);
  const times: number[] = [];
  for (const end of [1, 2]) times.push((await generator.generate(prompt(end), { maxNewTokens: 1, ignoreEndToken: true })).prefillMs);
  const [first, second] = times as [number, number];
  Object.assign(shown, { 'first prompt': first, 'shared prompt': second });
  console.log(`a prompt of 1,016 tokens ${first.toFixed(0)} ms, another with the same 1,000 before ${second.toFixed(0)} ms (${(first / second).toFixed(1)} times sooner)`);
}

/** Resident set after each tenth of `--long` tokens, in texts of 1,000 with prompts of their own. */
async function long(): Promise<void> {
  const all = Number(values.long);
  if (all === 0) return;
  await using generator = await loadGenerator(folder!, { variant: values.variant, threads });
  for (let written = 0; written < all; written += all / 10) {
    for (let part = 0; part < all / 10; part += 1000) await generator.generate(Array.from({ length: 16 }, (_, i) => ((written + part) * 13 + i * 31) % generator.tokenizer.vocabSize), { maxNewTokens: Math.min(1000, all / 10 - part), ignoreEndToken: true });
    console.log(`resident set after ${written + all / 10} of ${all} tokens: ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`);
  }
}

const shown: Record<string, number> = {};
for (const context of Number(values.rounds) === 0 ? [] : values.contexts.split(',').map(Number)) {
  for (const rows of [1, 8]) {
    // a machine that is shared slows down for seconds: each round measures all three, and the quickest of each count
    const rounds: [number, number, number][] = [];
    for (let i = 0; i < Number(values.rounds); i++) rounds.push([await products(rows), await bareRun(rows, context), await engineStep(rows, context)]);
    const [chain, bare, step] = [0, 1, 2].map((side) => Math.min(...rounds.map((round) => round[side]!))) as [number, number, number];
    const at = `${rows} at ${context}`;
    Object.assign(shown, { [`products of ${at}`]: chain, [`run of ${at}`]: bare, [`step of ${at}`]: step });
    console.log(`${rows} rows at ${context}: products ${chain.toFixed(1)} ms, one run ${bare.toFixed(1)} ms, a step of the engine ${step.toFixed(1)} ms (${(100 * (step / bare - 1)).toFixed(1)} % above the run, ${((1000 * rows) / step).toFixed(1)} tokens/s, ${(chain / step).toFixed(2)} of what the products alone give)`);
    console.log(`  rounds: ${rounds.map((round) => round.map((ms) => ms.toFixed(1)).join(' / ')).join(', ')}`);
  }
}
if (values.rest) {
  await prefix();
  await long();
}
console.log(JSON.stringify(shown));
process.exit(0);
