/**
 * Tensor parallelism on this machine: one engine with one thread and with all, and shards with a thread each.
 * Usage: npx tsx --conditions=@penjing/source bench/tensor.ts [width=1024] [layers=8] [shards=2] [runs=20]
 */
import { createRng, DenseTensor, type Executor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { shardModel, stepTraffic } from '@penjing/parallel';
import { openTensor } from '@penjing/parallel/node';
import { ortEngine, ortJobs } from '@penjing/runtime';

const [width = 1024, layers = 8, shards = 2, runs = 20] = process.argv.slice(2).map(Number);

/** Feed-forward layers of a Llama with their norms and residuals. */
function network(): Model {
  const rng = createRng(1);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => rng.normal() / Math.sqrt(width))));
  let x: Value = b.input('x', tensorType('float32', ['rows', width]));
  for (let i = 0; i < layers; i++) {
    const normed = b.op('LayerNormalization', [x, weight(`norm${i}`, width)], { axis: -1 });
    const [gate, up] = ['gate', 'up'].map((name) => b.op('MatMul', [normed, weight(`${name}${i}`, width, 4 * width)]));
    x = b.op('Add', [x, b.op('MatMul', [b.op('Mul', [b.op('Mul', [gate!, b.op('Sigmoid', [gate!])]), up!]), weight(`down${i}`, 4 * width, width)])]);
  }
  b.output(x, 'y', tensorType('float32', ['rows', width]));
  return model;
}

async function time(executor: Executor, rows: number): Promise<number> {
  const feeds = { x: DenseTensor.of('float32', [rows, width], new Float32Array(rows * width).fill(0.1)) };
  const times: number[] = [];
  for (let i = 0; i < runs + 3; i++) {
    const started = performance.now();
    await executor.run(feeds);
    if (i >= 3) times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

const model = network();
const sharded = shardModel(model, { shards });
const results: Record<string, Record<string, number>> = {};
async function measure(name: string, open: () => Promise<Executor>): Promise<void> {
  await using executor = await open();
  results[name] = {};
  for (const rows of [1, 16, 128]) results[name][`${rows} rows, ms`] = Number((await time(executor, rows)).toFixed(2));
}

await measure('one engine, 1 thread', () => ortEngine({ threads: 1 }).load(model));
await measure(`one engine, ${shards} threads`, () => ortEngine({ threads: shards }).load(model));
await using jobs = ortJobs({ parallel: shards, threads: 1 });
await measure(`${shards} shards, 1 thread each`, () => openTensor(sharded, { jobs }));
console.table(results);
console.log(`bytes in shared memory per run of one row: ${stepTraffic(sharded, { rows: 1 }).reduce((sum, { written }) => sum + written.reduce((a, b) => a + b, 0), 0)}, in ${sharded.program.length} steps`);
