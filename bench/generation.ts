/**
 * Decoding of one folder beside transformers.js (the same bytes) and llama.cpp (the same weights in Q4_0), the same threads, in turn:
 * `npx tsx --conditions=@penjing/source bench/generation.ts FOLDER [--gguf FILE] [--variant q4] [--contexts 128,1024,4000] [--sequences 1] [--tokens 32] [--threads 2] [--rounds 3] [--out FILE]`.
 * The others are those of tests/clients (`npm ci` there) and tests/clients/llama-cpp (`npm install --omit=optional`). A synthetic model: `bench/make-checkpoint.ts --size 0.9 --out DIR`, any tokenizer.json put
 * beside it, then `penjing quantize DIR -o FOLDER --bits 4 --accuracy-level 4` and `penjing quantize DIR -o FILE.gguf --bits 4`. Several sequences are asked for at the same time; transformers.js does not share runs between calls, and is left out.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { median } from './timed.js';

const { values, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: {
    variant: { type: 'string', default: 'q4' }, contexts: { type: 'string', default: '128,1024,4000' }, tokens: { type: 'string', default: '32' }, threads: { type: 'string', default: '2' },
    gguf: { type: 'string' }, sequences: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' }, out: { type: 'string', default: 'bench/results/generation.json' },
  },
});
if (!folder) throw new Error('a folder with a decoder is needed');

interface Measured {
  readonly prefillMs: number;
  readonly tokenMs: readonly number[];
  readonly peakRssBytes: number;
}

const run = promisify(execFile);
const bench = import.meta.dirname;
const sides: Readonly<Record<string, (context: string) => Promise<{ stdout: string }>>> = {
  penjing: (context) => run(process.execPath, ['--import', 'tsx', '--conditions=@penjing/source', join(bench, 'generation-child.ts'), folder, values.variant, context, values.tokens, values.threads, values.sequences]),
  ...(values.sequences === '1' && { 'transformers.js': (context: string) => run(process.execPath, [join(bench, '../tests/clients/decode-rate.mjs'), folder, '--dtype', values.variant, '--context', context, '--tokens', values.tokens, '--threads', values.threads]) }),
  ...(values.gguf !== undefined && { 'llama.cpp': (context: string) => run(process.execPath, [join(bench, '../tests/clients/llama-cpp/decode-rate.mjs'), values.gguf!, '--context', context, '--tokens', values.tokens, '--threads', values.threads, '--sequences', values.sequences]) }),
};

/** Medians of the rounds, and the quickest: a machine that is shared slows down for seconds. */
const rows: { side: string; context: number; prefillMs: number; tokenMs: number; quickestPrefillMs: number; quickestTokenMs: number; peakRssBytes: number }[] = [];
for (const context of values.contexts.split(',')) {
  const seen: Record<string, Measured[]> = {};
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [side, measure] of Object.entries(sides)) (seen[side] ??= []).push(JSON.parse((await measure(context)).stdout) as Measured);
  }
  for (const [side, list] of Object.entries(seen)) {
    const [prefills, tokens] = [list.map(({ prefillMs }) => prefillMs), list.map(({ tokenMs }) => median(tokenMs))];
    const row = {
      side, context: Number(context), prefillMs: median(prefills), tokenMs: median(tokens), quickestPrefillMs: Math.min(...prefills), quickestTokenMs: Math.min(...tokens),
      peakRssBytes: median(list.map(({ peakRssBytes }) => peakRssBytes)),
    };
    const rate = (ms: number, count = 1): string => ((1000 * count * Number(values.sequences)) / ms).toFixed(1);
    rows.push(row);
    console.log(`${side} at ${context}: prefill ${rate(row.prefillMs, row.context)} tokens/s (quickest ${rate(row.quickestPrefillMs, row.context)}), decode ${rate(row.tokenMs)} (${rate(row.quickestTokenMs)}), peak ${(row.peakRssBytes / 1e6).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`);
  }
}
await writeFile(values.out, `${JSON.stringify({ machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), node: process.version }, options: values, rows }, undefined, 2)}\n`);
