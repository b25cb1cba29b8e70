/**
 * How much of the loss of one-shot compression training gives back, on held-out text and by the command line: SparseGPT at 50 %, then masked; GPTQ at 2 bits, then quantization-aware.
 * `npx tsx --conditions=@penjing/source bench/recover.ts --model models/pine --texts texts --heldout models/pine/heldout.txt --steps 300 --seeds 3`
 * The folder `--work` keeps models that are done: a run that was cut off goes on.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/sapling' },
    /** Folder of train-0.txt and validation.txt, as `peers/sapling/write_texts.py` writes them. */
    texts: { type: 'string', default: 'texts' },
    heldout: { type: 'string', default: 'models/sapling/heldout.txt' },
    tokens: { type: 'string', default: '10000' },
    steps: { type: 'string', default: '300' },
    batch: { type: 'string', default: '4' },
    seeds: { type: 'string', default: '1' },
    /** Pattern of the names of cases. */
    cases: { type: 'string', default: '' },
    threads: { type: 'string', default: '1' },
    work: { type: 'string', default: 'out/recover' },
    out: { type: 'string', default: 'bench/results/recover.json' },
  },
});

/** Verb that compresses, and options of the verb that teaches. */
const cases = [
  { name: 'sparsegpt', compress: ['prune', '--sparsity', '0.5', '--method', 'sparsegpt', '--samples', '128'], teach: ['--rate', '4e-4'] },
  // the row of bench/language.ts
  { name: 'gptq-2', compress: ['quantize', '--method', 'gptq', '--bits', '2', '--block-size', '128', '--asymmetric', '--accuracy-level', '1', '--no-embeddings', '--samples', '128'], teach: ['--rate', '1e-3'] },
];

interface Measured {
  readonly name: string;
  readonly seed: number;
  readonly steps: number;
  /** Nats per token on the held-out text. */
  readonly dense: number;
  readonly oneShot: number;
  readonly taught: number;
  readonly recovered: number;
  readonly load: number;
}

const rows: Measured[] = [];
const train = join(values.texts, 'train-0.txt');
await mkdir(values.work, { recursive: true });
await mkdir(dirname(values.out), { recursive: true });
const dense = await loss(values.model);
for (const { name, compress, teach } of cases) {
  if (name.search(values.cases) === -1) continue;
  const [verb, ...options] = compress as [string, ...string[]];
  const student = join(values.work, name);
  await made(student, [verb, values.model, '-o', student, ...options, '--data', train]);
  const oneShot = await loss(student);
  for (let seed = 1; seed <= Number(values.seeds); seed++) {
    const output = `${student}-taught-${values.steps}-${seed}`;
    // validation.txt chooses between the end and the beginning, and nothing else
    await made(output, ['distill', values.model, '--student', student, '-o', output, '--data', train, '--validation', join(values.texts, 'validation.txt'), '--preset', 'minitron', '--batch', values.batch, '--steps', values.steps, '--weight-decay', '0', '--validate-every', values.steps, ...teach, '--seed', String(seed)]);
    const taught = await loss(output);
    rows.push({ name, seed, steps: Number(values.steps), dense, oneShot, taught, recovered: (oneShot - taught) / (oneShot - dense), load: loadavg()[0]! });
    await writeFile(values.out, `${JSON.stringify({ machine: `${cpus()[0]!.model}, ${cpus().length} cores`, model: values.model, tokens: Number(values.tokens), batch: Number(values.batch), rows }, null, 1)}\n`);
    console.log(`${name} [${seed}]: dense ${dense.toFixed(4)}, one-shot ${oneShot.toFixed(4)}, taught ${taught.toFixed(4)}: ${(100 * rows.at(-1)!.recovered).toFixed(0)} % recovered`);
  }
}

async function loss(model: string): Promise<number> {
  const kept = join(values.work, `${model.replace(/\W+/g, '-')}-${values.tokens}.json`);
  if (!existsSync(kept)) await writeFile(kept, JSON.stringify(await penjing(['eval', model, '--data', values.heldout, '--max-tokens', values.tokens])));
  return Math.log((JSON.parse(await readFile(kept, 'utf8')) as { readonly perplexity: number }).perplexity);
}

async function made(output: string, args: readonly string[]): Promise<void> {
  if (!existsSync(output)) await penjing([...args, '--no-check', ...(existsSync(`${output}.penjing`) ? ['--resume'] : [])]);
}

async function penjing(args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--conditions=@penjing/source', 'apps/cli/src/main.ts', ...args, '--threads', values.threads, '--json', '--quiet'], { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout);
}
