/**
 * int8 on real networks, beside ONNX Runtime's own quantizer: `npx tsx --conditions=@penjing/source bench/int8.ts write FOLDER`, then
 * `python peers/bench/ort_static.py FOLDER` (and `litert_digits.py FOLDER`), then `… bench/int8.ts judge FOLDER`, which prints the table.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cloneModel, DenseTensor, denseOf, type Feeds, type JobHost, type Model, type Pass, type Tensor } from '@penjing/core';
import { layoutToBytes, safetensorsLayout, serializeOnnx, tfliteLayout } from '@penjing/graph-io';
import { quantizeDynamic, quantizeStatic, rangeMethods } from '@penjing/quantize';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { int8Cases, type Int8Case } from './int8-cases.js';

const [action, folder, only, method] = process.argv.slice(2);
if ((action !== 'write' && action !== 'judge') || folder === undefined) throw new Error('bench/int8.ts write|judge FOLDER [NAME [METHOD]]');

const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
for (const make of int8Cases) {
  const found = await make();
  if (only !== undefined && !slug(found.name).includes(only)) continue;
  const place = join(folder, slug(found.name));
  await (action === 'write' ? write(found, place) : judge(found, place));
}

async function write(found: Int8Case, place: string): Promise<void> {
  await mkdir(place, { recursive: true });
  await save(found.model, join(place, 'float32.onnx'));
  await saveTensors(stacked(found.calibrate), join(place, 'calibrate.safetensors'));
  await using jobs = ortJobs();
  if (found.labels) await writeTflite(found, place, jobs);
  const passes: [string, Pass][] = [...rangeMethods.map((calibrate): [string, Pass] => [`penjing-${calibrate}`, quantizeStatic({ calibrate })]), ['penjing-dynamic', quantizeDynamic()]];
  for (const [name, pass] of passes) {
    if (method !== undefined && !name.includes(method)) continue;
    const started = performance.now();
    const { model, records, warnings } = await pass.run(cloneModel(found.model), { jobs, samples: found.calibrate });
    await save(model, join(place, `${name}.onnx`));
    const left = records.filter(({ method }) => method === 'none').map(({ name, note }) => `${name} (${note})`);
    console.log(`${found.name} ${name}: ${((performance.now() - started) / 1000).toFixed(1)} s${left.length > 0 ? `; left alone: ${left.join(', ')}` : ''}${warnings.length > 0 ? `; ${warnings.join('; ')}` : ''}`);
  }
}

async function save(model: Model, path: string): Promise<void> {
  const [file] = serializeOnnx(model);
  await writeFile(path, await layoutToBytes(file!));
}

/** Full int8 for the LiteRT interpreter, and what it is judged on. */
async function writeTflite(found: Int8Case, place: string, jobs: JobHost): Promise<void> {
  const { model } = await quantizeStatic({ target: 'tflite' }).run(cloneModel(found.model), { jobs, samples: found.calibrate });
  const [file] = await tfliteLayout(model);
  await writeFile(join(place, 'penjing.tflite'), await layoutToBytes(file!));
  const tested: Feeds[] = [];
  await found.evaluate(async (feeds) => {
    tested.push(feeds);
    return { y: denseOf('float32', [1], [0]) };
  });
  await saveTensors(new Map([...stacked(tested), ['labels', new DenseTensor('uint8', [found.labels!.length], found.labels!)]]), join(place, 'test.safetensors'));
}

async function saveTensors(tensors: Map<string, Tensor>, path: string): Promise<void> {
  const [file] = safetensorsLayout({ tensors, metadata: new Map() });
  await writeFile(path, await layoutToBytes(file!));
}

/** Samples of one input as one tensor, (samples, …). */
function stacked(samples: readonly Feeds[]): Map<string, Tensor> {
  return new Map(Object.keys(samples[0]!).map((name) => {
    const tensors = samples.map((feeds) => feeds[name] as DenseTensor);
    const bytes = new Uint8Array(tensors.length * tensors[0]!.byteLength);
    tensors.forEach((tensor, i) => bytes.set(tensor.bytes, i * tensor.byteLength));
    return [name, new DenseTensor(tensors[0]!.dtype, [tensors.length, ...tensors[0]!.shape], bytes)];
  }));
}

async function judge(found: Int8Case, place: string): Promise<void> {
  if (!existsSync(place)) throw new Error(`${place} is not there: write first`);
  const names = (await readdir(place)).filter((name) => name.endsWith('.onnx')).map((name) => name.slice(0, -5)).sort();
  const results = new Map<string, { rows: Float32Array[]; milliseconds: number }>();
  for (const name of ['float32', ...names.filter((name) => name !== 'float32')]) {
    await using executor = await ortEngine({ threads: 1 }).loadFile(join(place, `${name}.onnx`));
    let spent = 0;
    let runs = 0;
    const rows = await found.evaluate(async (feeds) => {
      const started = performance.now();
      const outputs = await executor.run(feeds);
      spent += performance.now() - started;
      runs++;
      return outputs;
    });
    results.set(name, { rows, milliseconds: spent / runs });
  }
  const wanted = results.get('float32')!.rows;
  console.log(`\n${found.name}: ${found.data}\n`);
  const judged = found.labels ? '| correct of 5,488 | of 5,000-5,999 | lost / won against float32 | p |' : '| same first class |';
  console.log(`| | SNR dB | largest difference ${judged} ms a run |\n|---|---|---|${'---|'.repeat(found.labels ? 4 : 1)}---|`);
  for (const [name, { rows, milliseconds }] of results) {
    const { snr, largest } = difference(wanted, rows);
    const same = rows.filter((row, i) => first(row) === first(wanted[i]!)).length;
    const parts = found.labels ? counts(wanted, rows, found.labels) : [`${same} of ${rows.length}`];
    console.log(`| ${name} | ${Number.isFinite(snr) ? snr.toFixed(1) : '—'} | ${largest.toPrecision(2)} | ${parts.join(' | ')} | ${milliseconds.toFixed(2)} |`);
  }
}

function difference(wanted: readonly Float32Array[], got: readonly Float32Array[]): { snr: number; largest: number } {
  let signal = 0;
  let noise = 0;
  let largest = 0;
  wanted.forEach((row, r) => row.forEach((x, i) => {
    const d = x - got[r]![i]!;
    signal += x * x;
    noise += d * d;
    largest = Math.max(largest, Math.abs(d));
  }));
  return { snr: 10 * Math.log10(signal / noise), largest };
}

function counts(wanted: readonly Float32Array[], got: readonly Float32Array[], labels: Uint8Array): string[] {
  const right = (rows: readonly Float32Array[]): boolean[] => rows.map((row, i) => first(row) === labels[i]);
  const [before, after] = [right(wanted), right(got)];
  const lost = before.filter((ok, i) => ok && !after[i]).length;
  const won = after.filter((ok, i) => ok && !before[i]).length;
  const correct = (rows: readonly boolean[]): number => rows.filter(Boolean).length;
  // Digit 5,000 is row 4,488: the first 512 calibrate.
  return [String(correct(after)), String(correct(after.slice(4488))), `${lost} / ${won}`, mcnemar(lost, won).toFixed(2)];
}

/** Exact two-sided test of equal shares among the examples that changed (McNemar 1947). */
function mcnemar(b: number, c: number): number {
  const n = b + c;
  let term = 0.5 ** n;
  let tail = 0;
  for (let k = 0; k <= Math.min(b, c); k++) {
    tail += term;
    term *= (n - k) / (k + 1);
  }
  return Math.min(1, 2 * tail);
}

function first(row: Float32Array): number {
  let best = 0;
  row.forEach((x, i) => { if (x > row[best]!) best = i; });
  return best;
}
