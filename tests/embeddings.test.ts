/** Models that embed texts, on the command line: trained on pairs, on pairs with scores, and by a teacher. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';

const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', 'sentences', name);
let folder = '';
const at = (name: string): string => join(folder, name);

interface Printed {
  readonly training?: readonly { readonly losses: readonly number[]; readonly validations: readonly { readonly loss: number; readonly metrics: Readonly<Record<string, number>> }[] }[];
  readonly error?: { readonly code: string; readonly message: string };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-embeddings-'));
  const texts = Object.values(JSON.parse(await readFile(join(fixture('bert-mean'), 'texts.json'), 'utf8')) as object).flat().filter((text): text is string => typeof text === 'string' && text.trim() !== '');
  const words = [...new Set(texts.join(' ').split(/\W+/).filter((word) => word.length > 2))];
  const pairs = Array.from({ length: 24 }, (_, i) => ({ anchor: `${words[i % words.length]} ${i}`, positive: `${i} ${words[(i + 3) % words.length]} ${words[i % words.length]}` }));
  await writeFile(at('pairs.jsonl'), pairs.map((pair) => JSON.stringify(pair)).join('\n'));
  await writeFile(at('scored.csv'), `sentence1,sentence2,score\n${pairs.map(({ anchor, positive }, i) => `${anchor},${positive},${(i % 5) / 4}`).join('\n')}\n`);
  await writeFile(at('five.csv'), 'sentence1,sentence2,score\na,b,4.5\nc,d,1\n');
  await writeFile(at('texts.jsonl'), pairs.map(({ anchor }) => JSON.stringify({ text: anchor })).join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function printed(...argv: string[]): Promise<Printed> {
  return JSON.parse((await run(...argv, '--json', '--threads', '1')).stdout) as Printed;
}

const TRAIN = ['--steps', '24', '--batch', '12', '--rate', '1e-2'];
const MEASURED = ['--validate-every', '24'];

test('pairs: more of them find their own', async () => {
  const { training } = await printed('finetune', fixture('bert-mean'), '-o', at('pairs'), '--data', at('pairs.jsonl'), '--validation', at('pairs.jsonl'), ...TRAIN, ...MEASURED);
  const [before, after] = training![0]!.validations as [(typeof training & object)[0]['validations'][0], (typeof training & object)[0]['validations'][0]];
  expect(after.loss).toBeLessThan(0.7 * before.loss);
  expect(after.metrics['recallAt1']).toBeGreaterThan(before.metrics['recallAt1']!);
}, 240_000);

test('pairs with scores: cosines come near them', async () => {
  const { training } = await printed('finetune', fixture('bert-mean'), '-o', at('scored'), '--data', at('scored.csv'), '--validation', at('scored.csv'), ...TRAIN, ...MEASURED);
  const { validations } = training![0]!;
  expect(validations.at(-1)!.loss).toBeLessThan(validations[0]!.loss);
  expect(validations.at(-1)!.metrics['spearman']).toBeGreaterThan(validations[0]!.metrics['spearman']!);
}, 240_000);

test('a teacher: its embeddings are learned, of texts and of pairs', async () => {
  for (const data of ['texts.jsonl', 'pairs.jsonl']) {
    const { training, error } = await printed('distill', fixture('bert-all'), '--student', fixture('bert-mean'), '-o', at(`taught-${data}`), '--data', at(data), '--leave-out', '0', ...TRAIN);
    expect(error).toBeUndefined();
    expect(training![0]!.losses.at(-1)!).toBeLessThan(0.8 * training![0]!.losses[0]!);
  }
}, 240_000);

test.each<[argv: string[], code: string, message: RegExp]>([
  [['finetune', 'bert-mean', 'texts.jsonl'], 'E_DATA', /texts without pairs/],
  [['finetune', 'bert-mean', 'five.csv'], 'E_DATA', /pair 0 .* has the score 4.5/],
  [['finetune', 'bert-mean', 'pairs.jsonl', '--engines', '2'], 'E_OPTION', /would see fewer/],
  [['finetune', 'bert-mean', 'scored.csv', '--temperature', '0.1'], 'E_OPTION', /with scores/],
  [['distill', 'bert-mean', 'texts.jsonl', '--preset', 'distilbert'], 'E_OPTION', /embeddings are matched/],
])('%j is refused', async ([verb, model, data, ...more], code, message) => {
  const student = verb === 'distill' ? ['--student', fixture('bert-mean')] : [];
  const { error } = await printed(verb!, fixture(model!), ...student, '-o', at('never'), '--data', at(data!), '--steps', '2', ...more);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
}, 240_000);
