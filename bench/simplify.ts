/**
 * Latency of real models before and after simplification, and their sizes and node counts:
 * `npx tsx --conditions=@penjing/source bench/simplify.ts FOLDER [--runs 5]`. FOLDER holds .onnx files, at any depth; `--converted pt2` and
 * `--converted hf` measure what the tests convert (`--only TEXT` those whose names hold it). `--fusions` and `--opset` are those of
 * simplify. A run is half a second in which the two models are called in turn, its figure the median call: other work on the machine then meets both
 * alike. The medians of the runs are compared.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { denseOf, elementCount, memorySource, type Model } from '@penjing/core';
import { type Fusions, simplify, type SimplifyResult } from '@penjing/core/rewrite';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { ortEngine, randomFeeds } from '@penjing/runtime';
import { convertedModels } from '../tests/tools/converted-models.js';
import { median, timed } from './timed.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '5' }, out: { type: 'string', default: 'bench/results/simplify.json' },
    converted: { type: 'string', multiple: true, default: [] }, only: { type: 'string', default: '' }, fusions: { type: 'string', default: 'standard' }, opset: { type: 'string' }, cpu: { type: 'boolean', default: false } },
});
const RUN_MS = 500;
const SIZES = {
  batch: 1, batch_size: 1, sequence_length: 16, past_sequence_length: 16, total_sequence_length: 32, encoder_sequence_length: 16, decoder_sequence_length: 4, past_decoder_sequence_length: 4,
  past_encoder_sequence_length: 16, src_dim1: 16, ids_dim1: 12,
};

const engine = ortEngine({ threads: 1 });
const work = await mkdtemp(join(tmpdir(), 'penjing-simplify-'));
const results: unknown[] = [];
try {
  for (const folder of positionals) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.onnx')) continue;
      const path = join(entry.parentPath, entry.name);
      try {
        const bytes = await readFile(path);
        results.push(await measure(path, bytes.byteLength, () => readOnnx(memorySource(bytes, path))));
      } catch (error) {
        console.log(`${path}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
      }
    }
  }
  for await (const { id, make } of convertedModels(values.converted as ('pt2' | 'hf')[])) {
    if (!id.includes(values.only)) continue;
    try {
      results.push(await measure(id, (await layoutToBytes(serializeOnnx(await make(), { externalData: 'never' })[0]!)).byteLength, make));
    } catch (error) {
      console.log(`${id}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    }
  }
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify({ machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`, load: loadavg()[0], results }, undefined, 1)}\n`);
} finally {
  await rm(work, { recursive: true, force: true });
}
process.exit(0);

async function measure(path: string, size: number, read: () => Promise<Model>): Promise<unknown> {
  const original = await read();
  const result: SimplifyResult = await simplify({ engine, fusions: values.fusions as Fusions, ...(values.opset !== undefined && { opset: Number(values.opset) }) }).run(await read(), {});
  const files = [];
  for (const [name, model] of [['before', original], ['after', result.model]] as const) {
    const file = join(work, `${name}.onnx`);
    await writeFile(file, await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!));
    files.push(file);
  }
  const models = [original, result.model];
  const executors = await Promise.all(models.map((model) => engine.load(model)));
  // Long enough for windows of audio, which are the only free sizes besides batches.
  const feeds = randomFeeds(executors[0]!.inputs, { shapes: { ...(path.includes('silero') && { input: [1, 576], state: [2, 1, 128], sr: [] }) }, dims: SIZES });
  if (path.includes('silero')) feeds['sr'] = denseOf('int64', [], [16000]);
  for (const [name, feed] of Object.entries(feeds)) {
    // Vocabularies of the tests are small.
    if (/(^|_)ids$/.test(name)) feeds[name] = denseOf('int64', feed.shape, Array.from({ length: elementCount(feed.shape) }, (_, i) => (name === 'token_type_ids' ? 0 : i % 16)));
    if (name === 'use_cache_branch') feeds[name] = denseOf('bool', [1], [0]);
  }
  await Promise.all(executors.map((executor) => executor.run(feeds)));
  const times: number[][] = [[], []];
  for (let run = 0; run < Number(values.runs); run++) {
    const calls: number[][] = [[], []];
    const started = performance.now();
    for (let turn = run; performance.now() - started < RUN_MS || calls[0]!.length < 5; turn++) {
      for (const k of turn % 2 ? [1, 0] : [0, 1]) calls[k]!.push(await timed(executors[k]!, feeds, values.cpu));
    }
    calls.forEach((list, k) => times[k]!.push(median(list)));
  }
  for (const executor of executors) await executor[Symbol.asyncDispose]();
  const [before, after] = times.map(median) as [number, number];
  const sizes = await Promise.all(files.map(async (file) => (await readFile(file)).byteLength));
  const row = { model: path.slice(path.lastIndexOf('/') + 1), nodes: [result.nodesBefore, result.nodesAfter], bytes: [size, sizes[1]], ms: [before, after], ratio: after / before, times };
  console.log(`${row.model}: nodes ${row.nodes.join(' → ')}, bytes ${row.bytes.join(' → ')}, ${before.toFixed(3)} → ${after.toFixed(3)} ms, ${row.ratio.toFixed(3)}×`);
  return row;
}
