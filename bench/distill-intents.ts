/**
 * BANKING77: teachers that read whole texts, alone and as a mean of several, and a student of a quarter of their size or less, taught by labels alone and by labels and the mean.
 * `npx tsx --conditions=@penjing/source bench/distill-intents.ts FOLDER [--seeds 5] [--epochs 20] [--passes 40,80] [--threads 2] [--out FILE]`; FOLDER has train.csv and test.csv.
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRng, denseOf, type Model } from '@penjing/core';
import { accuracy, crossEntropy, type Dataset, softTargets, train, type TrainOptions, weightedSum } from '@penjing/distill';
import { openData } from '@penjing/graph-io/data';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { parameters } from './digit-networks.js';
import { textEncoder } from './intent-networks.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '5' }, epochs: { type: 'string', default: '20' }, passes: { type: 'string', default: '40,80' }, threads: { type: 'string', default: '2' }, copies: { type: 'string', default: '8' },
    temperature: { type: 'string', default: '4' }, labels: { type: 'string', default: '0.1' }, out: { type: 'string', default: 'bench/results/distill-intents.json' },
  },
});
const number = (name: Exclude<keyof typeof values, 'out' | 'passes'>): number => Number(values[name]);
const [LENGTH, RARE, TEACHER_COPIES] = [32, 2, 3];

interface Text {
  readonly words: readonly string[];
  readonly category: string;
}
async function read(name: string): Promise<Text[]> {
  await using source = await openData(join(positionals[0]!, name));
  const texts: Text[] = [];
  for (let i = 0; i < source.count; i++) {
    const item = await source.item(i);
    if (item.kind !== 'text') throw new Error(`${name} has no texts`);
    texts.push({ words: item.text.toLowerCase().match(/[a-z0-9]+|[?!£$€]/g) ?? [], category: source.classes?.[item.label!] ?? String(item.label) });
  }
  return texts;
}
const [learned, unseen] = [await read('train.csv'), await read('test.csv')];
const categories = [...new Set(learned.map(({ category }) => category))].sort();
const counts = new Map<string, number>();
for (const word of learned.flatMap(({ words }) => words)) counts.set(word, (counts.get(word) ?? 0) + 1);
// 0 stands for no word, 1 for one that is hardly ever seen
const places = new Map([...counts].filter(([, count]) => count >= RARE).map(([word], i) => [word, i + 2] as const));

await using jobs = ortJobs({ threads: number('threads') });
/** The texts, and copies in which some words are forgotten and some are others: words as frequent as they are in all texts. */
async function dataset(texts: readonly Text[], { copies = 1, forgotten = 0, exchanged = 0 }: { readonly copies?: number; readonly forgotten?: number; readonly exchanged?: number } = {}): Promise<Dataset> {
  const rng = createRng(5);
  const all = texts.flatMap(({ words }) => words.slice(0, LENGTH));
  const rows = Array.from({ length: copies }, (_, copy) => texts.map(({ words }) => Array.from({ length: LENGTH }, (_, i) => {
    const word = words[i];
    if (word === undefined) return 0;
    if (copy === 0) return places.get(word) ?? 1;
    if (rng.uniform() < exchanged) return places.get(all[Math.floor(rng.uniform() * all.length)]!) ?? 1;
    return rng.uniform() < forgotten ? 1 : (places.get(word) ?? 1);
  }))).flat();
  const labels = Array.from({ length: copies }, () => texts.map(({ category }) => categories.indexOf(category))).flat();
  return {
    columns: { words: await jobs.refer(denseOf('int64', [rows.length, LENGTH], rows.flat())), labels: await jobs.refer(denseOf('int64', [labels.length], labels)) },
    classes: { labels: categories.length },
  };
}
const data = await dataset(learned, { copies: TEACHER_COPIES, forgotten: 0.1 });
const studied = await dataset(learned, { copies: number('copies'), forgotten: 0.2, exchanged: 0.1 });
const validation = await dataset(unseen);

/** Share of the test texts that are right after the last step: nothing is chosen by them. */
async function learn(model: Model, options: Partial<TrainOptions>): Promise<number> {
  const { state } = await train(model, {
    jobs, data, validation, metrics: { accuracy: accuracy() }, batch: 64, validateEvery: 1e9,
    optimizer: { rate: 2e-3, schedule: { name: 'cosine', warmup: 100 }, weightDecay: 0.05, clip: 1 }, ...options,
  });
  return state.validations.at(-1)!.metrics['accuracy']!;
}

const common = { words: places.size + 2, length: LENGTH, classes: categories.length };
const started = performance.now();
const say = (text: string): void => console.log(`${text}, ${((performance.now() - started) / 1000).toFixed(0)} s, load ${loadavg()[0]!.toFixed(1)}`);
const teachers: Model[] = [];
const alone: number[] = [];
for (let seed = 1; seed <= number('seeds'); seed++) {
  const teacher = textEncoder({ ...common, seed, width: 128, heads: 4, layers: 2, hidden: 256 });
  alone.push(await learn(teacher, { seed, epochs: number('epochs') / TEACHER_COPIES, optimizer: { rate: 1e-3, schedule: { name: 'cosine', warmup: 100 }, weightDecay: 0.1, clip: 1 } }));
  teachers.push(teacher);
}
const whole = parameters(teachers[0]!);
say(`teachers: ${whole} parameters, ${describe(alone)} % of ${unseen.length} texts`);
const mean = { models: teachers, outputs: { logits: 'teacher/logits' } };
// what the mean of them knows: a student that learns nothing is only a way to ask
const together = await agreement();

const student = (seed: number): Model => textEncoder({ ...common, seed, width: 32, heads: 2, layers: 1, hidden: 64 });
await using said = await jobs.openShelf();
const both = weightedSum([[number('labels'), crossEntropy()], [1 - number('labels'), softTargets({ temperature: number('temperature') })]]);
const size = parameters(student(1));
say(`student: ${size} parameters, ${((100 * size) / whole).toFixed(1)} %`);
const results: { passes: number; labels: number[]; taught: number[] }[] = [];
for (const passes of values.passes.split(',').map(Number)) {
  const [labels, taught]: [number[], number[]] = [[], []];
  for (let seed = 1; seed <= number('seeds'); seed++) {
    const options = { seed, data: studied, epochs: passes / number('copies') };
    labels.push(await learn(student(seed), options));
    taught.push(await learn(student(seed), { ...options, loss: both, validationLoss: crossEntropy(), teacher: { ...mean, cache: said } }));
  }
  results.push({ passes, labels, taught });
  say(`${passes} passes: labels ${describe(labels)}, taught ${describe(taught)}`);
}
const [low, high] = [Math.max(...results.map(({ labels }) => average(labels))), Math.max(...results.map(({ taught }) => average(taught)))];
console.log(`of the gap to the mean of the teachers (${(100 * (together - low)).toFixed(2)} points) ${((100 * (high - low)) / (together - low)).toFixed(0)} % are closed; of the gap to one teacher (${(100 * (average(alone) - low)).toFixed(2)} points) ${((100 * (high - low)) / (average(alone) - low)).toFixed(0)} %`);
await writeFile(values.out, `${JSON.stringify({ teacher: { parameters: whole, alone, together }, student: { parameters: size, results }, options: values }, undefined, 2)}\n`);
process.exit(0);

/** Accuracy of the mean of the teachers' scores. */
async function agreement(): Promise<number> {
  const rows = unseen.map(({ words }) => Array.from({ length: LENGTH }, (_, i) => (words[i] === undefined ? 0 : (places.get(words[i]) ?? 1))));
  const sums = new Float32Array(rows.length * categories.length);
  for (const teacher of teachers) {
    await using executor = await ortEngine({ threads: 1 }).load(teacher);
    const { logits } = await executor.run({ words: denseOf('int64', [rows.length, LENGTH], rows.flat()) });
    ((logits as { data: Float32Array }).data).forEach((value, i) => (sums[i]! += value));
  }
  const right = rows.filter((_, i) => {
    const scores = [...sums.subarray(i * categories.length, (i + 1) * categories.length)];
    return scores.indexOf(Math.max(...scores)) === categories.indexOf(unseen[i]!.category);
  }).length;
  say(`the mean of them: ${((100 * right) / rows.length).toFixed(2)} %`);
  return right / rows.length;
}

function average(of: readonly number[]): number {
  return of.reduce((a, b) => a + b, 0) / of.length;
}

/** Percent: mean ± standard deviation (smallest to largest). */
function describe(shares: readonly number[]): string {
  const percent = shares.map((value) => 100 * value);
  const mean = percent.reduce((a, b) => a + b, 0) / percent.length;
  const spread = Math.sqrt(percent.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, percent.length - 1));
  return `${mean.toFixed(2)} ± ${spread.toFixed(2)} (${Math.min(...percent).toFixed(1)} to ${Math.max(...percent).toFixed(1)})`;
}
