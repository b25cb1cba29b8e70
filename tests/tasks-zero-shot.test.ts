/** Classes that are named when a model is run, and answers found in texts, against transformers. */
import { readFileSync } from 'node:fs';
import { loadQuestionAnswerer, loadTextClassifier, loadZeroShotClassifier, loadZeroShotImageClassifier } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { expectClose, fixturePath, TaskFolders } from './support/task-folder.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

let folders: TaskFolders;
beforeAll(async () => {
  folders = await TaskFolders.open();
});
afterAll(() => folders[Symbol.asyncDispose]());

const ONE = { threads: 1 };
const json = (...parts: string[]): never => JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as never;

interface Scores {
  readonly labels: readonly string[];
  readonly scores: readonly number[];
}
const pairsOf = ({ labels, scores }: Scores) => labels.map((label, i) => ({ label, score: scores[i]! }));

describe('texts', () => {
  test.each(['entails', 'entails-first'])('%s: the scores of transformers', async (name) => {
    const { candidates: labels, rows, single } = json('tasks', name, 'expected.json') as { candidates: string[]; rows: { text: string; one: Scores; several: Scores; template: Scores }[]; single: Scores };
    await using classifier = await loadZeroShotClassifier(await folders.convert(`tasks/${name}`), ONE);
    const texts = rows.map(({ text }) => text);
    expectClose(await classifier.classify(texts, { labels }), rows.map(({ one }) => pairsOf(one)));
    expectClose(await classifier.classify(texts, { labels, multiLabel: true, batchSize: 2 }), rows.map(({ several }) => pairsOf(several)));
    expectClose(await classifier.classify(texts, { labels, template: "It is about {}, isn't it?", topK: 2 }), rows.map(({ template }) => pairsOf(template).slice(0, 2)));
    expectClose(await classifier.classify(texts.slice(0, 1), { labels: labels.slice(0, 1) }), [pairsOf(single)]);
    expect(await classifier.classify([], { labels })).toEqual([]);
  });

  test('what is wrong is said', async () => {
    await using classifier = await loadZeroShotClassifier(await folders.convert('tasks/entails'), ONE);
    for (const options of [{ labels: [] }, { labels: [' '] }, {}, { labels: ['a'], template: 'no place' }]) await expect(classifier.classify(['a tree'], options as never), JSON.stringify(options)).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(classifier.classify(['tree '.repeat(80)], { labels: ['a'] })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(loadZeroShotClassifier(await folders.convert('tasks/pairs'), ONE)).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/joy, fear, anger/) as string });
  });
});

describe('pictures', () => {
  test('CLIP: the scores of transformers', async () => {
    const [{ image, input: [labels], output }] = json('encoders', 'clip', 'pipelines.json') as [{ image: { width: number; height: number; data: number[] }; input: [string[]]; output: { label: string; score: number }[] }];
    const { width, height, data } = image;
    await using classifier = await loadZeroShotImageClassifier(await folders.convert('encoders/clip'), ONE);
    const picture = { width, height, channels: 3, data: Uint8Array.from(data) };
    const found = await classifier.classify([picture, picture, picture], { labels, template: 'this is a photo of {}', batchSize: 2 });
    expectClose(found, [output, output, output]);
    await expect(classifier.classify([picture], { labels: ['word '.repeat(99)] })).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/label 0 has/) as string });
    await expect(loadZeroShotImageClassifier(await folders.convert('encoders/vit-classes'), ONE)).rejects.toMatchObject({ code: 'E_TASK' });
  });

  test('SigLIP: a probability each', async () => {
    const { candidates: labels, rows } = json('tasks', 'matches', 'expected.json') as { candidates: string[]; rows: { file: string; one: { label: string; score: number }[]; template: never[] }[] };
    await using classifier = await loadZeroShotImageClassifier(await folders.convert('tasks/matches'), ONE);
    const files = rows.map(({ file }) => fixturePath('tasks', 'files', file));
    expectClose(await classifier.classify(files, { labels }), rows.map(({ one }) => one));
    expectClose(await classifier.classify(files, { labels, template: '{} in March' }), rows.map(({ template }) => template));
  });
});

describe('questions', () => {
  interface Asked {
    readonly context: string;
    readonly question: string;
    readonly longest: number;
    readonly overlap: number;
    readonly null: number;
    readonly answers: readonly { readonly start: number; readonly end: number; readonly score: number; readonly text: string }[];
  }
  test.each(['questions', 'questions-bytes'])('%s: the spans and scores of transformers, in one window and in several', async (name) => {
    const { rows } = json('tasks', name, 'expected.json') as { rows: Asked[] };
    await using answerer = await loadQuestionAnswerer(await folders.convert(`tasks/${name}`), ONE);
    for (const { context: text, question, longest, overlap, null: none, answers } of rows) {
      const options = { topK: 4, maxAnswerLength: longest, overlap, wholeWords: false };
      const [found] = await answerer.answer([{ question, text }], options);
      const wanted = answers.map(({ start, text: answer, score }) => ({ text: answer.trim(), score, start: start + answer.length - answer.trimStart().length, end: start + answer.trimEnd().length }));
      expect(found!.map(({ text: answer, start, end }) => ({ text: answer, start, end }))).toEqual(wanted.map(({ text: answer, start, end }) => ({ text: answer, start, end })));
      for (const [i, { score }] of wanted.entries()) expect(Math.abs(found![i]!.score / score - 1)).toBeLessThan(1e-3);
      const [all] = await answerer.answer([{ question, text }], { ...options, topK: 1000, maxAnswerLength: 1, allowImpossible: true });
      const impossible = all!.filter((answer) => answer.text === '');
      expect(impossible).toHaveLength(1);
      expect(Math.abs(impossible[0]!.score / none - 1)).toBeLessThan(1e-3);
    }
  });

  test('answers are whole words, and what is wrong is said', async () => {
    await using answerer = await loadQuestionAnswerer(await folders.convert('tasks/questions'), ONE);
    const text = 'The small tree grows in a shallow pot; every spring somebody cuts its roots.';
    const [answers] = await answerer.answer([{ question: 'Which tree?', text }], { topK: 5 });
    expect(answers).toHaveLength(5);
    for (const { start, end, text: answer, score } of answers!) {
      expect(answer).toBe(text.slice(start, end));
      expect(`${text[start - 1] ?? ' '}${answer[0]}`).not.toMatch(/^[a-z]{2}$/i);
      expect(`${answer.at(-1)}${text[end] ?? ' '}`).not.toMatch(/^[a-z]{2}$/i);
      expect(score).toBeGreaterThan(0);
    }
    expect(new Set(answers!.map(({ start, end }) => `${start} ${end}`)).size).toBe(5);
    expect(await answerer.answer([{ question: 'Which?', text: '' }])).toEqual([[]]);
    expect(await answerer.answer([{ question: 'Which?', text: '' }], { allowImpossible: true })).toHaveLength(1);
    await expect(answerer.answer([{ question: 'tree '.repeat(60), text }])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/question 0 leaves/) as string });
    await expect(answerer.answer([{ question: 7 as never, text }])).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(answerer.answer([{ question: 'a', text }], { maxAnswerLength: 0 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(answerer.answer([{ question: 'a', text }], { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    await expect(loadQuestionAnswerer(await folders.convert('tasks/pairs'), ONE)).rejects.toMatchObject({ code: 'E_TASK' });
    await expect(loadTextClassifier(await folders.convert('tasks/questions'), ONE)).rejects.toMatchObject({ code: 'E_TASK' });
  });
});

describe('on the command line', () => {
  const run = async (...argv: string[]) => JSON.parse((await runCaptured('run', ...argv, '--threads', '1', '--json')).stdout) as { task?: string; results?: { output: never }[]; error?: { code: string; message: string; hint?: string } };

  test('labels and a question say what a model is for', async () => {
    const { candidates, rows } = json('tasks', 'entails', 'expected.json') as { candidates: string[]; rows: { text: string; one: Scores }[] };
    const labels = candidates.flatMap((label) => ['--label', label]);
    const text = await run(await folders.convert('tasks/entails'), '--text', rows[0]!.text, ...labels);
    expect(text.task).toBe('zero-shot-classification');
    expectClose(text.results![0]!.output, pairsOf(rows[0]!.one));
    const picture = await run(await folders.convert('tasks/matches'), '--picture', fixturePath('tasks', 'files', 'colours.png'), ...labels);
    expect([picture.task, picture.results?.length]).toEqual(['zero-shot-image-classification', 1]);
    const answer = await run(await folders.convert('tasks/questions'), '--question', 'Which tree?', '--text', 'The small tree grows.', '--top-k', '2');
    expect([answer.task, (answer.results![0]!.output as unknown[]).length]).toEqual(['question-answering', 2]);
  });

  test('without them it is said what is missing', async () => {
    const picture = ['--picture', fixturePath('tasks', 'files', 'colours.png')];
    expect((await run(await folders.convert('tasks/matches'), ...picture)).error).toMatchObject({ code: 'E_OPTION', hint: expect.stringMatching(/--label/) as string });
    expect((await run(await folders.convert('tasks/questions'), '--text', 'A tree.')).error).toMatchObject({ code: 'E_OPTION', hint: expect.stringMatching(/--question/) as string });
    expect((await run(await folders.convert('tasks/questions'), '--question', 'Which tree?', '--query', 'tree', '--text', 'A tree.')).error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/--query .*--question/) as string });
    expect((await run(await folders.convert('tasks/matches'), '--label', 'a', '--text', 'a tree')).error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/sees pictures/) as string });
    const { stdout } = await runCaptured('run', await folders.convert('tasks/entails'), '--label', 'a', '--text', 'a\u001b[2J\ntree', '--threads', '1');
    expect(stdout).toMatch(/^a \[2J tree {2}a 0\.\d{4}$/m);
    expect((await run(await folders.convert('tasks/entails'), '--label', 'a')).error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/nothing to run/) as string });
  });
});
