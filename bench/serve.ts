/**
 * What serving costs and gains: `npm run build`, then
 * `npx tsx --conditions=@penjing/source bench/serve.ts --data FOLDER [--python .venv/bin/python] [--mlserver .venv-mlserver/bin/mlserver] [--generator FOLDER] [--seconds 5] [--rounds 3] [--only overhead,throughput,dense,ready,generation] [--out FILE]`.
 * FOLDER is the test material, whose `models/mnist/burn-mnist.pt` is the small real model. The Python has fastapi, uvicorn, orjson and onnxruntime; MLServer, which wants older versions of them, an
 * environment of its own with onnxruntime and uvloop < 0.22. Load is that of wrk (Debian's package), with one thread; it, the server and the model share the machine. Rounds go through all sides in turn; medians are told.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { layoutToBytes, modelFromPytorch, serializeOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { loadGenerator, ortEngine } from '@penjing/runtime';
import { askInTurn, inferBody, type Load, percentile, wrk } from './serve-load.js';
import { fastapiSide, mlserverSide, penjingSide, type Side, type SideOptions } from './serve-sides.js';
import { median } from './timed.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' }, python: { type: 'string' }, mlserver: { type: 'string' }, generator: { type: 'string' }, seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: 'overhead,throughput,dense,ready,generation' }, out: { type: 'string', default: 'bench/results/serve.json' },
  },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];
const CLIENTS = 16;
const folder = await mkdtemp(join(tmpdir(), 'penjing-bench-serve-'));
const rows: object[] = [];

function row(entry: object): void {
  rows.push(entry);
  console.log(`${Object.entries(entry).map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toFixed(3)) : String(value)}`).join(', ')}, load ${loadavg()[0]!.toFixed(1)}`);
}

/** A row of the small real model's input, the same in all requests. */
const picture = { name: 'x', tensor: floats([1, 1, 28, 28]) };
const wide = { name: 'x', tensor: floats([1, 1024]) };

function floats(shape: readonly number[]): DenseTensor {
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.fround(Math.sin(i)));
  return new DenseTensor('float32', shape, new Uint8Array(data.buffer));
}

async function mnist(): Promise<string> {
  const forward = 'log_softmax(norm2(fc2(relu(fc1(flatten(norm1(relu(conv3(relu(conv2(relu(conv1(x))))))), 1))))), dim=1)';
  return save('mnist', await modelFromPytorch(await fileSource(join(values.data!, 'models/mnist/burn-mnist.pt')), { forward, inputs: ['x:f32[N,1,28,28]'] }));
}

/** Layers whose weights take longer to read than to multiply with, which is what batches are good for. */
function dense(layers: number): Promise<string> {
  const width = 1024;
  const model = new Model();
  model.irVersion = 9;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x: Value = b.input('x', tensorType('float32', ['N', width]));
  for (let i = 0; i < layers; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, floats([width, width]))])]);
  b.output(x, 'y', tensorType('float32', ['N', width]));
  return save(`dense-${layers}`, model);
}

async function save(name: string, model: Model): Promise<string> {
  const file = join(folder, `${name}.onnx`);
  await writeFile(file, await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!));
  return file;
}

const sides: Readonly<Record<string, (options: SideOptions) => Promise<Side>>> = {
  penjing: penjingSide,
  ...(values.python !== undefined && { fastapi: fastapiSide(values.python) }),
  ...(values.mlserver !== undefined && { mlserver: mlserverSide(values.mlserver) }),
};

/** Milliseconds of the bare call in this process, and of a request on one connection. */
async function overhead(): Promise<void> {
  const model = await dense(1);
  await using executor = await ortEngine().loadFile(model, { threads: 1, thread: 'calling' });
  await using side = await penjingSide({ model, maxBatch: 1 });
  const request = { modelName: 'model', inputs: [wide] };
  const body = inferBody(request, true);
  const first = percentile(await askInTurn(side.url, body, 2000), 0.5);
  // V8 compiles what two processes do for a request over some 6,000 of them
  await askInTurn(side.url, body, 8000);
  const [bare, asked, asJson]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const times: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const started = performance.now();
      await executor.run({ x: wide.tensor });
      times.push(performance.now() - started);
    }
    bare.push(percentile(times, 0.5));
    asked.push(percentile(await askInTurn(side.url, body, 2000), 0.5));
    asJson.push(percentile(await askInTurn(side.url, inferBody(request, true, true), 2000), 0.5));
  }
  row({ row: 'overhead of a 4 KB tensor, binary', bareMs: median(bare), askedMs: median(asked), firstMs: first, overheadMs: median(asked.map((ms, i) => ms - bare[i]!)), replyAsJsonMs: median(asJson) });
}

/** All sides, JSON and binary, batches off and on. */
async function throughput(name: string, model: string, input: typeof picture): Promise<void> {
  for (const binary of [false, true]) {
    const body = inferBody({ modelName: 'model', inputs: [input] }, binary);
    const seen = new Map<string, Load[]>();
    const measure = async (key: string, url: string, asked = body): Promise<void> => {
      await wrk(url, asked, CLIENTS, 1);
      seen.set(key, [...(seen.get(key) ?? []), await wrk(url, asked, CLIENTS, seconds)]);
    };
    for (let round = 0; round < rounds; round++) {
      for (const [side, start] of Object.entries(sides)) {
        // MLServer answers 500 to the binary extension.
        if (binary && side === 'mlserver') continue;
        for (const maxBatch of side === 'fastapi' ? [1] : [1, 32]) {
          await using server = await start({ model, maxBatch });
          await measure(`${side}, batches ${maxBatch > 1 ? 'on' : 'off'}`, server.url);
          if (side === 'fastapi' && !binary) await measure('fastapi with pydantic', server.url, { ...body, path: '/predict' });
        }
      }
    }
    for (const [side, loads] of seen) {
      const of = (pick: (load: Load) => number): number => median(loads.map(pick));
      row({ row: `${name}, ${CLIENTS} clients, ${binary ? 'binary' : 'JSON'}`, side, perSecond: of((load) => load.perSecond), p50Ms: of((load) => load.p50Ms), p99Ms: of((load) => load.p99Ms), failed: of((load) => load.failed) });
    }
  }
}

/** How long the readiness probe takes while all that the model can do is asked of it. */
async function ready(): Promise<void> {
  await using side = await penjingSide({ model: await dense(8), maxBatch: 32 });
  const loading = wrk(side.url, inferBody({ modelName: 'model', inputs: [wide] }, true), 4 * CLIENTS, Math.max(10, 2 * seconds));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const times: number[] = [];
  let done = false;
  void loading.finally(() => (done = true));
  while (!done) {
    const started = performance.now();
    const { status } = await fetch(`${side.url}/v2/health/ready`);
    if (status !== 200) throw new Error(`ready says ${status}`);
    times.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { perSecond, failed } = await loading;
  row({ row: `ready beside ${4 * CLIENTS} clients`, count: times.length, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99), mostMs: Math.max(...times), perSecond, failed });
}

/** Tokens a second of eight texts that begin together: by the engine in this process, and by the server, whole and streamed; prompts differ in every round, so that no prefix is known. */
async function generation(path: string): Promise<void> {
  const [sequences, context, tokens] = [8, 128, 64];
  let seed = 0;
  const prompts = (vocabulary: number): number[][] => Array.from({ length: sequences }, () => (seed++, Array.from({ length: context }, (_, i) => 3 + ((seed * 7919 + i * 104_729) % (vocabulary - 3)))));
  const rateOf = async (ask: (prompt: readonly number[]) => Promise<number>, vocabulary: number): Promise<number> => {
    const started = performance.now();
    const written = await Promise.all(prompts(vocabulary).map(ask));
    return (1000 * written.reduce((a, b) => a + b, 0)) / (performance.now() - started);
  };
  const rates: Record<string, number[]> = { engine: [], server: [], streamed: [] };
  let vocabulary = 0;
  for (let round = 0; round < rounds; round++) {
    {
      await using generator = await loadGenerator(path, { threads: availableParallelism() });
      vocabulary = generator.tokenizer.vocabSize;
      const ask = async (prompt: readonly number[]): Promise<number> => (await generator.generate(prompt, { maxNewTokens: tokens, ignoreEndToken: true })).tokens.length;
      await rateOf(ask, vocabulary);
      rates['engine']!.push(await rateOf(ask, vocabulary));
    }
    await using side = await penjingSide({ model: path, maxBatch: 1, threads: availableParallelism() });
    const post = (prompt: readonly number[], stream: boolean): Promise<Response> => fetch(`${side.url}/v1/completions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ model: 'model', prompt, max_tokens: tokens, ignore_eos: true, temperature: 0, stream, ...(stream && { stream_options: { include_usage: true } }) }) });
    const whole = async (prompt: readonly number[]): Promise<number> => ((await (await post(prompt, false)).json()) as { usage: { completion_tokens: number } }).usage.completion_tokens;
    const streamed = async (prompt: readonly number[]): Promise<number> => Number(/"completion_tokens":(\d+)/.exec(await (await post(prompt, true)).text())![1]);
    await rateOf(whole, vocabulary);
    rates['server']!.push(await rateOf(whole, vocabulary));
    rates['streamed']!.push(await rateOf(streamed, vocabulary));
  }
  const engine = median(rates['engine']!);
  for (const [side, list] of Object.entries(rates)) row({ row: `${sequences} texts of ${context} + ${tokens} tokens`, side, tokensPerSecond: median(list), ofEngine: median(list) / engine });
}

const measures: Readonly<Record<string, () => Promise<void>>> = {
  overhead,
  throughput: async () => throughput('burn-mnist', await mnist(), picture),
  dense: async () => throughput('dense 8 × 1024²', await dense(8), wide),
  ready,
  generation: async () => (values.generator === undefined ? undefined : generation(values.generator)),
};
try {
  for (const name of values.only.split(',')) await measures[name]!();
  await writeFile(values.out, `${JSON.stringify({ machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), node: process.version }, options: values, rows }, undefined, 2)}\n`);
} finally {
  await rm(folder, { recursive: true });
}
