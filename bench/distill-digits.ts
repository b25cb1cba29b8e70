/**
 * A teacher of digits and students of a twentieth of its size or less, taught by labels alone and by labels and the teacher: right answers on digits that none has seen, over seeds.
 * The teacher has seen the digits moved by a pixel as well, the students have not: both kinds of students see the same pictures (the setting of Hinton et al. 2015, section 3).
 * `npx tsx --conditions=@penjing/source bench/distill-digits.ts IMAGES.gz LABELS.gz [--seeds 5] [--epochs 40] [--teacher-epochs 8] [--teacher FILE.onnx] [--threads 2] [--out FILE]`
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { denseOf, DenseTensor, type JobHost, type Model } from '@penjing/core';
import { accuracy, crossEntropy, type Dataset, softTargets, train, type TrainOptions, weightedSum } from '@penjing/distill';
import { readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';
import { ortJobs } from '@penjing/runtime';
import { convolutions, parameters, perceptron } from './digit-networks.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '5' }, epochs: { type: 'string', default: '40' }, 'teacher-epochs': { type: 'string', default: '8' }, threads: { type: 'string', default: '2' },
    temperature: { type: 'string', default: '4' }, labels: { type: 'string', default: '0.1' }, out: { type: 'string', default: 'bench/results/distill-digits.json' }, filter: { type: 'string', default: '' },
    /** Where the teacher is kept: read if it is there. */
    teacher: { type: 'string' },
  },
});
const [seeds, epochs, teacherEpochs, threads, temperature, labelShare] = [values.seeds, values.epochs, values['teacher-epochs'], values.threads, values.temperature, values.labels].map(Number) as [number, number, number, number, number, number];
const [LEARNED, ALL, SIDE] = [5000, 6000, 28];
const pixels = gunzipSync(await readFile(positionals[0]!)).subarray(16);
const digits = gunzipSync(await readFile(positionals[1]!)).subarray(8);

/** Pictures moved by (dx, dy), the rest black: (count · moves, 1, 28, 28), pixels from 0 to 1 less their mean. */
async function dataset(jobs: JobHost, from: number, to: number, moves: readonly (readonly [number, number])[]): Promise<Dataset> {
  const count = (to - from) * moves.length;
  const out = new Float32Array(count * SIDE * SIDE).fill(-0.1307 / 0.3081);
  moves.forEach(([dx, dy], m) => {
    for (let i = from; i < to; i++) {
      const at = (m * (to - from) + i - from) * SIDE * SIDE;
      for (let y = Math.max(0, dy); y < Math.min(SIDE, SIDE + dy); y++) {
        for (let x = Math.max(0, dx); x < Math.min(SIDE, SIDE + dx); x++) out[at + y * SIDE + x] = (pixels[i * SIDE * SIDE + (y - dy) * SIDE + x - dx]! / 255 - 0.1307) / 0.3081;
      }
    }
  });
  const labels = denseOf('int64', [count], moves.flatMap(() => [...digits.subarray(from, to)]));
  return { columns: { pixels: await jobs.refer(DenseTensor.of('float32', [count, 1, SIDE, SIDE], out)), labels: await jobs.refer(labels) }, classes: { labels: 10 } };
}

await using jobs = ortJobs({ threads });
const data = await dataset(jobs, 0, LEARNED, [[0, 0]]);
const unseen = await dataset(jobs, LEARNED, ALL, [[0, 0]]);

/** Share of the unseen digits that are right after the last step: nothing is chosen by them. */
async function learn(model: Model, options: Partial<TrainOptions>): Promise<number> {
  const { state } = await train(model, {
    jobs, data, validation: unseen, metrics: { accuracy: accuracy() }, batch: 128, validateEvery: 1e9,
    optimizer: { rate: 2e-3, schedule: { name: 'cosine', warmup: 50 }, weightDecay: 0.01, clip: 1 }, ...options,
  });
  return state.validations.at(-1)!.metrics['accuracy']!;
}

const started = performance.now();
const kept = values.teacher !== undefined && existsSync(values.teacher) ? await readOnnx(await fileSource(values.teacher)) : undefined;
const teacher = kept ?? convolutions({ seed: 1, channels: [{ size: 32 }, { size: 32, halve: 'pool' }, { size: 64, halve: 'pool' }], hidden: 128 });
const taught = await learn(teacher, kept ? { steps: 1, optimizer: { rate: 1e-12 } } : {
  epochs: teacherEpochs, seed: 1, data: await dataset(jobs, 0, LEARNED, [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]),
  optimizer: { rate: 1e-3, schedule: { name: 'cosine', warmup: 50 }, weightDecay: 0.05, clip: 1 },
});
if (values.teacher !== undefined && !kept) await saveFile(values.teacher, serializeOnnx(teacher, { name: values.teacher }));
const whole = parameters(teacher);
console.log(`teacher: ${whole} parameters, ${(100 * taught).toFixed(1)} % of ${ALL - LEARNED} digits, ${((performance.now() - started) / 1000).toFixed(0)} s, load ${loadavg()[0]!.toFixed(1)}`);

const students: Readonly<Record<string, (seed: number) => Model>> = {
  'perceptron, 24 hidden': (seed) => perceptron({ seed, hidden: 24 }),
  'two convolutions, 8 and 16 channels': (seed) => convolutions({ seed, channels: [{ size: 8, halve: 'stride' }, { size: 16, halve: 'stride' }] }),
};
// what the teacher says to each picture is computed once
await using said = await jobs.openShelf();
const rows = [];
for (const [name, make] of Object.entries(students)) {
  if (!name.includes(values.filter)) continue;
  const size = parameters(make(1));
  const results: Record<'labels' | 'teacher', number[]> = { labels: [], teacher: [] };
  for (let seed = 1; seed <= seeds; seed++) {
    results.labels.push(await learn(make(seed), { epochs, seed }));
    const both = weightedSum([[labelShare, crossEntropy()], [1 - labelShare, softTargets({ temperature })]]);
    results.teacher.push(await learn(make(seed), { epochs, seed, loss: both, validationLoss: crossEntropy(), teacher: { models: [teacher], outputs: { logits: 'teacher/logits' }, cache: said } }));
  }
  const text = Object.entries(results).map(([kind, of]) => `${kind} ${describe(of)}`).join('; ');
  const gains = results.teacher.map((value, i) => value - results.labels[i]!);
  console.log(`${name} (${size} parameters, ${((100 * size) / whole).toFixed(1)} %): ${text}; gain ${describe(gains)} points, ${((performance.now() - started) / 1000).toFixed(0)} s`);
  rows.push({ name, size, ...results });
}
await writeFile(values.out, `${JSON.stringify({ teacher: { parameters: whole, accuracy: taught }, epochs, teacherEpochs, temperature, labelShare, rows }, undefined, 2)}\n`);

/** Percent: mean ± standard deviation (smallest to largest). */
function describe(values: readonly number[]): string {
  const percent = values.map((value) => 100 * value);
  const mean = percent.reduce((a, b) => a + b, 0) / percent.length;
  const spread = Math.sqrt(percent.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, percent.length - 1));
  return `${mean.toFixed(2)} ± ${spread.toFixed(2)} (${Math.min(...percent).toFixed(1)} to ${Math.max(...percent).toFixed(1)})`;
}
process.exit(0);
