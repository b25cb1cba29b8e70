/** `penjing run` on tasks: found from the folder or named, on texts, files of texts, pictures and sounds. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { expectClose, fixturePath, TaskFolders } from './support/task-folder.js';
import { testData } from './tools/test-data.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

let folders: TaskFolders;
let scratch = '';
beforeAll(async () => {
  folders = await TaskFolders.open();
  scratch = await mkdtemp(join(tmpdir(), 'penjing-run-task-'));
});
afterAll(async () => {
  await folders[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

interface Printed {
  readonly task?: string;
  readonly results?: readonly { readonly input: string; readonly output: unknown }[];
  readonly error?: { readonly code: string; readonly message: string };
}
async function run(...argv: string[]): Promise<Printed> {
  return JSON.parse((await runCaptured('run', ...argv, '--threads', '1', '--json')).stdout) as Printed;
}
const json = (...parts: string[]): never => JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as never;

test('texts of the command line and of files; the task is that of the folder', async () => {
  const [{ input, output }] = json('encoders', 'bert-classes', 'pipelines.json') as [{ input: [[string, string]]; output: unknown[] }];
  const folder = await folders.convert('encoders/bert-classes');
  const texts = input[0];
  await writeFile(join(scratch, 'texts.txt'), `${texts[1]}\n\n${texts[0]}\n`);
  const printed = await run(folder, '--text', texts[0], '--data', join(scratch, 'texts.txt'), '--top-k', '3');
  expect(printed.task).toBe('text-classification');
  expect(printed.results!.map((result) => result.input)).toEqual([texts[0], texts[1], texts[0]]);
  expectClose(printed.results!.map((result) => result.output), [output[0], output[1], output[0]]);
  const { stdout } = await runCaptured('run', folder, '--text', texts[0], '--threads', '1');
  expect(stdout).toMatch(/perhaps 0\.7175, yes 0\.2165/);
});

test('embeddings, ranks', async () => {
  const { texts, embeddings } = json('sentences', 'bert-mean', 'texts.json') as { texts: string[]; embeddings: number[][] };
  await writeFile(join(scratch, 'texts.jsonl'), texts.map((text) => JSON.stringify({ text })).join('\n'));
  const embedded = await run(await folders.convert('sentences/bert-mean'), '--data', join(scratch, 'texts.jsonl'));
  expect(embedded.task).toBe('sentence-similarity');
  expectClose(embedded.results!.map(({ output }) => output), embeddings);
  const { query, documents, scores } = json('tasks', 'ranks', 'expected.json') as { query: string; documents: string[]; scores: number[] };
  const ranked = await run(await folders.convert('tasks/ranks'), '--query', query, ...documents.flatMap((text) => ['--text', text]), '--top-k', '2');
  expect(ranked.task).toBe('text-ranking');
  const best = scores.map((score, index) => ({ index, score })).sort((a, b) => b.score - a.score).slice(0, 2);
  expectClose(ranked.results!.map(({ output }) => output), best);
});

test.each<[argv: string[], code: string, message: RegExp]>([
  [['encoders/bert-classes', '--task', 'poetry', '--text', 'a'], 'E_OPTION', /--task poetry/],
  [['encoders/bert-classes', '--task', 'text-classification'], 'E_OPTION', /nothing to run/],
  [['encoders/bert-classes', '--text', 'tree '.repeat(60)], 'E_INPUT', /text 0 has 62 tokens/],
  [['encoders/bert-classes', '--task', 'fill-mask', '--text', 'a'], 'E_TASK', /logits are/],
])('%j is refused', async ([fixture, ...argv], code, message) => {
  const { error } = await run(await folders.convert(fixture!), ...argv);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
});

test.skipIf(!testData)('voice in a file', async () => {
  const silero = join(testData!, 'models', 'silero-vad');
  const printed = await run(join(silero, 'silero_vad.onnx'), '--task', 'voice-activity-detection', '--data', join(silero, 'speech_first20s.wav'));
  const { segments } = printed.results![0]!.output as { segments: { start: number; end: number }[] };
  expect(segments.length).toBeGreaterThan(2);
  const { error } = await run(join(silero, 'silero_vad.onnx'), '--data', join(silero, 'speech_first20s.wav'));
  expect(error).toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/does not tell/) as string });
});
