/**
 * Latency of language models that lost heads, features or layers beside the model as it was, in turn, with their sizes and held-out perplexity:
 * `npx tsx --conditions=@penjing/source bench/structured.ts --model models/sapling --texts TEXTS [--cpu] --out bench/results/structured.json`
 * A round calls every model once, in an order that turns; a figure is the median of the rounds. `--cpu` counts processor time, which other work on
 * the machine does not add to. `--keep FOLDER` holds the pruned models, and takes those it finds there.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { allNodes, type Executor, type Feeds, type Model } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { ortEngine, randomFeeds } from '@penjing/runtime';
import { median, timed } from './timed.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/sapling' },
    /** Folder with train-0.txt, as `peers/sapling/write_texts.py` writes it. */
    texts: { type: 'string', default: 'texts' },
    heldout: { type: 'string' },
    tokens: { type: 'string', default: '10000' },
    samples: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '60' },
    /** Pattern of the names of variants. */
    only: { type: 'string', default: '' },
    cpu: { type: 'boolean', default: false },
    keep: { type: 'string' },
    out: { type: 'string', default: 'bench/results/structured.json' },
  },
});
const heldout = values.heldout ?? join(values.model, 'heldout.txt');
const calibrated = ['--data', join(values.texts, 'train-0.txt'), '--samples', values.samples];
const shrink = (structure: string, ratio: number, ...more: string[]): string[] => ['prune', '--structure', structure, '--ratio', String(ratio), ...more];

/** Verb and options of every model. The layers of the two models are four. */
const variants: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['as it was', ['convert']],
  ...(['heads', 'ffn'] as const).flatMap((structure) =>
    ([0.25, 0.5] as const).flatMap((ratio) => [
      [`${structure} −${100 * ratio} %`, shrink(structure, ratio)],
      [`${structure} −${100 * ratio} %, --update`, shrink(structure, ratio, '--method', 'activation', '--update', ...calibrated)],
      [`${structure} −${100 * ratio} %, taylor`, shrink(structure, ratio, '--method', 'taylor', ...calibrated)],
      [`${structure} −${100 * ratio} %, activation`, shrink(structure, ratio, '--method', 'activation', ...calibrated)],
      [`${structure} −${100 * ratio} %, obs`, shrink(structure, ratio, '--method', 'obs', ...calibrated)],
    ] as const),
  ),
  ['layers −1', shrink('layers', 0.25, ...calibrated)],
  ['layers −2', shrink('layers', 0.5, ...calibrated)],
];

interface Variant {
  readonly name: string;
  readonly graph: Model;
  readonly bytes: number;
  readonly perplexity: number;
  /** Weights that every token is multiplied by. */
  readonly weights: number;
}

const PROMPT = 128;
const work = values.keep ?? (await mkdtemp(join(tmpdir(), 'penjing-structured-')));
try {
  await mkdir(work, { recursive: true });
  const models: Variant[] = [];
  for (const [name, args] of variants) if (name === 'as it was' || name.search(values.only) !== -1) models.push(await made(name, args));
  const engine = ortEngine({ threads: 1 });
  const rows = models.map(({ graph: _graph, ...row }) => ({ ...row, prefill: 0, decode: 0 }));
  for (const [phase, length, past] of [['prefill', PROMPT, 0], ['decode', 1, PROMPT]] as const) {
    const loaded: { readonly executor: Executor; readonly feeds: Feeds; readonly times: number[] }[] = [];
    for (const { graph } of models) {
      const executor = await engine.load(graph);
      const dims = { batch_size: 1, sequence_length: length, past_sequence_length: past, total_sequence_length: length + past };
      loaded.push({ executor, feeds: randomFeeds(executor.inputs, { dims }), times: [] });
    }
    for (const { executor, feeds } of loaded) for (let i = 0; i < 3; i++) await executor.run(feeds);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (let i = 0; i < loaded.length; i++) {
        const { executor, feeds, times } = loaded[(i + round) % loaded.length]!;
        times.push(await timed(executor, feeds, values.cpu));
      }
    }
    for (const [i, { executor, times }] of loaded.entries()) {
      rows[i]![phase] = median(times);
      await executor[Symbol.asyncDispose]();
    }
  }
  const first = rows[0]!;
  console.log(`| | weights per token | file | perplexity | prefill of ${PROMPT} tokens, ms | one token, ms |\n|---|---|---|---|---|---|`);
  for (const { name, bytes, perplexity, weights, prefill, decode } of rows) {
    const share = (value: number, of: number): string => `${((100 * value) / of).toFixed(0)} %`;
    console.log(`| ${name} | ${share(weights, first.weights)} | ${(bytes / 1e6).toFixed(2)} MB | ${perplexity.toFixed(2)} | ${prefill.toFixed(2)} (${share(prefill, first.prefill)}) | ${decode.toFixed(3)} (${share(decode, first.decode)}) |`);
  }
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify({ machine: `${cpus()[0]?.model ?? ''}, ${cpus().length} cores`, load: loadavg()[0], model: values.model, time: values.cpu ? 'processor' : 'clock', rows }, undefined, 1)}\n`);
} finally {
  if (!values.keep) await rm(work, { recursive: true, force: true });
}
process.exit(0);

async function made(name: string, [verb, ...options]: readonly string[]): Promise<Variant> {
  const folder = join(work, name.replace(/[^a-z0-9]+/gi, '-'));
  if (!existsSync(folder)) await penjing([verb!, values.model, '-o', folder, ...options]);
  const { perplexity, model } = await penjing<{ readonly perplexity: number; readonly model: { readonly bytes: number } }>(['eval', folder, '--data', heldout, '--max-tokens', values.tokens]);
  const path = join(folder, 'onnx/model.onnx');
  // stays open: the weights are read when it is loaded
  const graph = await readOnnx(await fileSource(path));
  let weights = 0;
  for (const node of allNodes(graph.graph)) {
    if (node.opType !== 'MatMul' && node.opType !== 'Gemm') continue;
    for (const value of node.inputs) weights += value?.tensor?.shape.reduce((product, size) => product * size, 1) ?? 0;
  }
  console.log(`${name}: perplexity ${perplexity.toFixed(2)}, ${(model.bytes / 1e6).toFixed(2)} MB`);
  return { name, graph, bytes: model.bytes, perplexity, weights };
}


async function penjing<Output>(args: readonly string[]): Promise<Output> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--conditions=@penjing/source', 'apps/cli/src/main.ts', ...args, '--json', '--quiet'], { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as Output;
}
