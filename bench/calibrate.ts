/**
 * Peak memory of calibrating a synthetic Llama of real width, beside what its blocks and Hessians take.
 * `npx tsx --conditions=@penjing/source bench/calibrate.ts [--samples 128] [--tokens 512] [--layers 2] [--hidden 2048] [--ffn 5632]`
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { type ByteSource, createRng, DenseTensor, type Feeds, GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { calibrateLayers, layerGroups, weightMatrices } from '@penjing/core/calibrate';
import { fileSource } from '@penjing/graph-io/node';
import { ortJobs } from '@penjing/runtime';

const { values } = parseArgs({ options: Object.fromEntries(['samples', 'tokens', 'layers', 'hidden', 'ffn'].map((name) => [name, { type: 'string' as const }])) });
const of = (name: string, standard: number): number => Number(values[name] ?? standard);
const [samples, tokens, layers, hidden, ffn] = [of('samples', 128), of('tokens', 512), of('layers', 2), of('hidden', 2048), of('ffn', 5632)];
const heads = hidden / 64;

/** One layer's worth of small random weights on disk; every layer reads the same. */
async function weightsFile(path: string): Promise<ByteSource & AsyncDisposable> {
  const rng = createRng(1);
  const chunk = Float32Array.from({ length: 1 << 20 }, () => (rng.uniform() - 0.5) / Math.sqrt(hidden));
  const file = createWriteStream(path);
  for (let left = 4 * hidden ** 2 + 3 * hidden * ffn; left > 0; left -= chunk.length) {
    if (!file.write(new Uint8Array(chunk.buffer, 0, 4 * Math.min(left, chunk.length)))) await new Promise((resolve) => file.once('drain', () => resolve(undefined)));
  }
  file.end();
  await finished(file);
  return fileSource(path);
}

function llama(source: ByteSource): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let offset = 0;
  const weight = (name: string, rows: number, cols: number): Value => {
    const tensor = lazy.source(source, offset, 'float32', [rows, cols]);
    offset += tensor.byteLength;
    return b.initializer(name, tensor);
  };
  const norm = (x: Value): Value => b.op('Div', [x, b.op('Sqrt', [b.op('Add', [b.op('ReduceMean', [b.op('Mul', [x, x])], { axes: [-1] }), b.constant('float32', [1e-5])])])]);
  const split = (x: Value): Value => b.op('Transpose', [b.op('Reshape', [x, b.constant('int64', [1, -1, heads, 64])])], { perm: [0, 2, 1, 3] });
  let x = b.input('x', tensorType('float32', [1, 'tokens', hidden]));
  for (let layer = 0; layer < layers; layer++) {
    offset = 0;
    const h = norm(x);
    const [q, k, v] = (['q', 'k', 'v'] as const).map((name) => split(b.op('MatMul', [h, weight(`${name}${layer}`, hidden, hidden)])));
    const scores = b.op('Softmax', [b.op('MatMul', [b.op('Mul', [q!, b.constant('float32', 1 / 8)]), b.op('Transpose', [k!], { perm: [0, 1, 3, 2] })])], { axis: -1 });
    const joined = b.op('Reshape', [b.op('Transpose', [b.op('MatMul', [scores, v!])], { perm: [0, 2, 1, 3] }), b.constant('int64', [1, -1, hidden])]);
    x = b.op('Add', [x, b.op('MatMul', [joined, weight(`o${layer}`, hidden, hidden)])]);
    const m = norm(x);
    const gate = b.op('MatMul', [m, weight(`gate${layer}`, hidden, ffn)]);
    x = b.op('Add', [x, b.op('MatMul', [b.op('Mul', [b.op('Mul', [gate, b.op('Sigmoid', [gate])]), b.op('MatMul', [m, weight(`up${layer}`, hidden, ffn)])]), weight(`down${layer}`, ffn, hidden)])]);
  }
  b.output(x, 'y');
  return model;
}

function* feeds(): Generator<Feeds> {
  for (let seed = 0; seed < samples; seed++) {
    const rng = createRng(seed);
    yield { x: DenseTensor.of('float32', [1, tokens, hidden], Float32Array.from({ length: tokens * hidden }, () => rng.normal())) };
  }
}

/** The largest resident set of the process so far, its threads included, in MB. */
async function peak(): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile('/proc/self/status', 'utf8'))![1]) / 1024;
}

const folder = await mkdtemp(join(tmpdir(), 'penjing-bench-'));
try {
  await using source = await weightsFile(join(folder, 'weights'));
  const model = llama(source);
  const { groups } = layerGroups(model, weightMatrices(model, ['matmul']).matrices);
  const before = await peak();
  const started = performance.now();
  {
    await using jobs = ortJobs({ work: folder });
    for await (const { group, statistics } of calibrateLayers(model, { jobs, samples: feeds(), groups, statistics: ['hessian'] })) {
      console.log(`${group.layers.map(({ weight }) => weight.name).join(' ')}: ${statistics.hessian.rows} rows, ${((performance.now() - started) / 1000).toFixed(0)} s, peak ${(await peak()).toFixed(0)} MB`);
    }
  }
  const block = (4 * (4 * hidden ** 2 + 3 * hidden * ffn)) / 2 ** 20;
  const hessian = (4 * ffn ** 2) / 2 ** 20;
  console.log(JSON.stringify({
    samples, tokens, layers, hidden, ffn, seconds: Math.round((performance.now() - started) / 1000), load: loadavg()[0],
    startMB: Math.round(before), peakMB: Math.round(await peak()), blockMB: Math.round(block), hessianMB: Math.round(hessian), aboveMB: Math.round((await peak()) - block - 2 * hessian),
  }));
} finally {
  await rm(folder, { recursive: true, force: true });
}
