/** Tasks over texts against what transformers and sentence-transformers give for the same folders. */
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadEmbedder, loadMaskFiller, loadReranker, loadTextClassifier, loadTokenClassifier, loadTokenizer, type TextSpan } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { expectClose, fixturePath, TaskFolders } from './support/task-folder.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

let folders: TaskFolders;
beforeAll(async () => void (folders = await TaskFolders.open()));
afterAll(() => folders[Symbol.asyncDispose]());

const ONE = { threads: 1 };
const json = (...parts: string[]): never => JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as never;

interface Texts {
  readonly texts: readonly string[];
  readonly embeddings: readonly (readonly number[])[];
}
interface Job {
  readonly pipeline: string;
  readonly input: readonly [never];
  readonly output: readonly Record<string, unknown>[];
}

describe('embeddings', () => {
  test.each([['bert-mean', undefined], ['bert-mean', 'feature-extraction'], ['qwen3-last', undefined], ['qwen3-last', 'feature-extraction']])('%s, task %s: those of sentence-transformers', async (name, task) => {
    const { texts, embeddings } = json('sentences', name, 'texts.json') as Texts;
    await using embedder = await loadEmbedder(await folders.convert(`sentences/${name}`, task), ONE);
    expectClose(await embedder.embed(texts), embeddings);
    expectClose(await embedder.embed([...texts].reverse(), { batchSize: 1 }), [...embeddings].reverse());
    expect(await embedder.embed([])).toEqual([]);
  });

  test('pooled as the caller says, of a folder that says nothing', async () => {
    const { input, output } = (json('encoders', 'bert-mlm', 'pipelines.json') as Job[]).find(({ pipeline }) => pipeline === 'feature-extraction')!;
    const folder = await folders.convert('encoders/bert-mlm', 'feature-extraction');
    await using embedder = await loadEmbedder(folder, { ...ONE, pooling: 'mean', normalize: true });
    expectClose(await embedder.embed(input[0]), output);
    await expect(loadEmbedder(folder, ONE)).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/nothing says/) as string });
    await expect(loadEmbedder(folder, { ...ONE, pooling: 'middle' as 'mean' })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('modules that the graph lacks are named', async () => {
    const folder = await folders.convert('sentences/t5-dense', 'feature-extraction');
    await expect(loadEmbedder(folder, ONE)).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/Dense/) as string });
  });
});

describe('classes of texts', () => {
  test('softmax', async () => {
    const [{ input, output }] = json('encoders', 'bert-classes', 'pipelines.json') as [Job];
    await using classifier = await loadTextClassifier(await folders.convert('encoders/bert-classes'), ONE);
    expect(classifier.labels).toEqual(['yes', 'no', 'perhaps']);
    expectClose(await classifier.classify(input[0]), output);
    expect((await classifier.classify(['a pot'], { topK: 1 }))[0]).toHaveLength(1);
  });

  test.each(['several', 'regression'])('problem_type: %s', async (name) => {
    const { texts, labels } = json('tasks', name, 'expected.json') as { texts: string[]; labels: unknown };
    await using classifier = await loadTextClassifier(await folders.convert(`tasks/${name}`), ONE);
    expectClose(await classifier.classify(texts), labels);
  });

  test('pairs of texts', async () => {
    const { pairs, labels } = json('tasks', 'pairs', 'expected.json') as { pairs: { text: string; text_pair: string }[]; labels: unknown };
    await using classifier = await loadTextClassifier(await folders.convert('tasks/pairs'), ONE);
    expectClose(await classifier.classify(pairs.map(({ text, text_pair: pair }) => ({ text, pair }))), labels);
  });

  test('names that are missing are made up as transformers does', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'penjing-labels-'));
    await cp(await folders.convert('encoders/bert-classes'), folder, { recursive: true });
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, id2label: { 1: 'one', 2: 7 } }));
    await using classifier = await loadTextClassifier(folder, ONE);
    expect(classifier.labels).toEqual(['LABEL_0', 'one', 'LABEL_2']);
    await rm(folder, { recursive: true });
  });
});

test('what is cut of texts and pairs is what tokenizers cuts', async () => {
  const { cut } = json('tasks', 'pairs', 'expected.json') as { cut: { text: string; pair: string | null; limit: number; ids: number[]; types: number[] }[] };
  const tokenizer = await loadTokenizer(fixturePath('tasks', 'pairs'));
  for (const { text, pair, limit, ids, types } of cut) {
    const [made] = tokenizer.encodeInputs([pair === null ? text : { text, pair }], { maxLength: limit, truncate: true });
    expect({ ids: made!.ids, types: made!.types }).toEqual({ ids, types });
  }
});

test('ranks: scores of CrossEncoder', async () => {
  const { query, documents, scores, logits } = json('tasks', 'ranks', 'expected.json') as { query: string; documents: string[]; scores: number[]; logits: number[] };
  await using reranker = await loadReranker(await folders.convert('tasks/ranks'), ONE);
  for (const [options, wanted] of [[{}, scores], [{ activation: 'none' }, logits]] as const) {
    const ranked = await reranker.rank(query, documents, options);
    expect(ranked.map(({ score }) => score)).toEqual(ranked.map(({ score }) => score).sort((a, b) => b - a));
    expectClose([...ranked].sort((a, b) => a.index - b.index).map(({ score }) => score), wanted);
  }
  expect(await reranker.rank(query, documents, { topK: 2 })).toHaveLength(2);
  expect(await reranker.rank(query, [])).toEqual([]);
  await expect(loadReranker(await folders.convert('tasks/pairs'), ONE)).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/3 classes/) as string });
});

describe('spans', () => {
  test('the classes of single tokens', async () => {
    const [{ input, output }] = json('encoders', 'bert-tokens', 'pipelines.json') as [Job];
    await using classifier = await loadTokenClassifier(await folders.convert('encoders/bert-tokens'), ONE);
    const [spans] = await classifier.classify([input[0]], { aggregation: 'none', ignoreLabels: [] });
    expectClose(spans!.map(({ label, score, text }) => ({ label, score, text })), output.map(({ entity, score, word }) => ({ label: entity, score, text: word })));
  });

  interface Recorded {
    readonly texts: readonly string[];
    readonly spans: Readonly<Record<'none' | 'simple' | 'first' | 'average' | 'max', readonly (readonly { entity?: string; entity_group?: string; score: number; start: number; end: number }[])[]>>;
  }
  test.each(['spans-wordpiece', 'spans-bytes', 'spans-unigram'])('%s: every aggregation of transformers', async (name) => {
    const { texts, spans } = json('tasks', name, 'expected.json') as Recorded;
    await using classifier = await loadTokenClassifier(await folders.convert(`tasks/${name}`), ONE);
    for (const [aggregation, wanted] of Object.entries(spans) as [keyof Recorded['spans'], Recorded['spans']['none']][]) {
      const found = await classifier.classify(texts, { aggregation, ignoreLabels: ['I-ORG'] });
      const trimmed = wanted.map((row, i) => row.map(({ entity, entity_group: group, score, start, end }) => ({ label: (entity ?? group)!, score, ...withoutSpace(texts[i]!, start, end) })));
      expectClose(found.map((row, i) => row.map(({ label, score, start, end }: TextSpan) => ({ label, score, ...withoutSpace(texts[i]!, start, end) }))), trimmed, `${name} ${aggregation}`);
    }
  });

  /** transformers counts the space before a token as of it, where the tokenizer does; where nothing else is in it the place says nothing. */
  function withoutSpace(text: string, start: number, end: number): { start: number; end: number } {
    const inner = text.slice(start, end);
    if (inner.trim() === '') return { start: -1, end: -1 };
    return { start: start + inner.length - inner.trimStart().length, end: end - inner.length + inner.trimEnd().length };
  }
});

describe('masks', () => {
  test('the words of transformers', async () => {
    const job = (json('encoders', 'bert-mlm', 'pipelines.json') as Job[])[0]!;
    await using filler = await loadMaskFiller(await folders.convert('encoders/bert-mlm'), ONE);
    const [[words]] = (await filler.fill([job.input[0]], { topK: 5 })) as [[never[]]];
    expectClose(words, job.output.map(({ score, token, token_str: text, sequence }) => ({ score, token, text, sequence })));
  });

  test('several masks, byte-level words, given words', async () => {
    interface Word { readonly score: number; readonly token: number }
    const { texts, words, targets } = json('tasks', 'masks', 'expected.json') as { texts: string[]; words: [Word[], Word[], [Word[], Word[]]]; targets: Word[] };
    await using filler = await loadMaskFiller(await folders.convert('tasks/masks'), ONE);
    const plain = (row: readonly Word[]): Word[] => row.map(({ score, token }) => ({ score, token }));
    const found = await filler.fill(texts, { topK: 4 });
    expectClose(found.map((masks) => masks.map(plain)), [[plain(words[0])], [plain(words[1])], words[2].map(plain)]);
    expectClose((await filler.fill([texts[0]!], { targets: ['e', 't', 'r'], topK: 2 }))[0]!.map(plain), [plain(targets)]);
    await expect(filler.fill(['no mask'])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/text 0 has no <mask>/) as string });
    await expect(filler.fill([texts[0]!], { targets: ['the whole sentence'] })).rejects.toMatchObject({ code: 'E_INPUT' });
  });
});

describe('what is wrong is said', () => {
  const long = 'tree '.repeat(100);

  test('a text that is too long, unless it may be cut', async () => {
    await using classifier = await loadTextClassifier(await folders.convert('encoders/bert-classes'), ONE);
    expect(classifier.maxLength).toBe(40);
    await expect(classifier.classify(['fine', long])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/text 1 has 102 tokens, and at most 40/) as string });
    expectClose(await classifier.classify([long], { truncate: true }), await classifier.classify(['tree '.repeat(38)]));
    await expect(classifier.classify(['a', 7 as never])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/text 1/) as string });
    await expect(classifier.classify('a' as never)).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(classifier.classify(['a'], { batchSize: 0 })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/from 1 to 4096/) as string });
    await expect(classifier.classify(['a'], { topK: 1.5 })).rejects.toMatchObject({ code: 'E_OPTION' });
    expect(await classifier.classify([''])).toHaveLength(1);
  });

  test('a signal stops between batches, and the model goes on working', async () => {
    await using classifier = await loadTextClassifier(await folders.convert('encoders/bert-classes'), ONE);
    const stop = new AbortController();
    let runs = 0;
    const onProgress = (): void => void (++runs === 3 && stop.abort());
    await expect(classifier.classify(Array.from({ length: 50 }, () => 'a tree'), { batchSize: 1, signal: stop.signal, onProgress })).rejects.toThrow(/abort/i);
    expect(runs).toBeLessThan(6);
    expect(await classifier.classify(['a tree'])).toHaveLength(1);
  });

  test('a model for something else', async () => {
    const folder = await folders.convert('encoders/bert-tokens');
    await expect(loadTextClassifier(folder, ONE)).rejects.toMatchObject({ code: 'E_TASK', message: expect.stringMatching(/its logits are/) as string });
    await expect(loadEmbedder(folder, ONE)).rejects.toMatchObject({ code: 'E_TASK' });
    await expect(loadTextClassifier(fixturePath('encoders', 'bert-classes'), ONE)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});
