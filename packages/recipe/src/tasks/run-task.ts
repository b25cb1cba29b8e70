/** Runs a model folder on texts, pictures or sounds, as its configuration says. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import type { LabelScore, LoadTaskOptions, PoolingMode, TextSpan } from '@penjing/runtime';
import { loadRuntime, type Runtime } from '../load-runtime.js';
import { findTask, type TaskName } from './find-task.js';
import { pictureInputs, textInputs } from './task-inputs.js';

export interface RunTaskOptions extends LoadTaskOptions {
  /** What the folder is for when absent. */
  readonly task?: string | undefined;
  readonly texts?: readonly string[] | undefined;
  /** Files and folders, see `openData`. */
  readonly data?: readonly string[] | undefined;
  readonly columns?: readonly string[] | undefined;
  /** Of ranking: what the texts are to answer. */
  readonly query?: string | undefined;
  /** Classes by name, for models that learnt none of their own. */
  readonly labels?: readonly string[] | undefined;
  /** The sentence that each is put into, at `{}`. */
  readonly template?: string | undefined;
  readonly multiLabel?: boolean | undefined;
  /** What the texts are to answer, word by word. */
  readonly question?: string | undefined;
  readonly maxAnswerLength?: number | undefined;
  readonly allowImpossible?: boolean | undefined;
  readonly topK?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly truncate?: boolean | undefined;
  readonly pooling?: readonly string[] | undefined;
  readonly normalize?: boolean | undefined;
  readonly prompt?: string | undefined;
  readonly aggregation?: string | undefined;
  readonly language?: string | undefined;
  readonly translate?: boolean | undefined;
  readonly timestamps?: boolean | undefined;
  /** Of what is written; retried at higher ones when absent and times are written. */
  readonly temperature?: number | undefined;
  readonly seed?: number | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface TaskOutput {
  readonly input: string;
  readonly output: unknown;
  /** A line for people, or several. */
  readonly summary: string | readonly string[];
}

export interface TaskRun {
  readonly task: TaskName;
  readonly results: readonly TaskOutput[];
}

/** Throws what loading and running the task throw, and `E_OPTION` for a run without inputs, or with a query and a question. */
export async function runTask(path: string, options: RunTaskOptions): Promise<TaskRun> {
  if (options.query !== undefined && options.question !== undefined) throw new PenjingError('E_OPTION', '--query ranks texts and --question finds an answer in them: a run does one of them', { hint: 'Leave out one.' });
  const meant = options.query !== undefined ? 'text-ranking' : options.question !== undefined ? 'question-answering' : undefined;
  const task = await findTask(path, options.task ?? meant, { labels: (options.labels ?? []).length > 0 });
  const runtime = await loadRuntime();
  return { task, results: await runners[task](runtime, path, options) };
}

type Runner = (runtime: Runtime, path: string, options: RunTaskOptions) => Promise<TaskOutput[]>;

const percent = (score: number): string => score.toFixed(4);
const labelled = (labels: readonly LabelScore[]): string => labels.map(({ label, score }) => `${label} ${percent(score)}`).join(', ');
const vector = (values: Float32Array): string => `${values.length} numbers: ${Array.from(values.subarray(0, 4), (value) => value.toFixed(4)).join(' ')}${values.length > 4 ? ' …' : ''}`;

/** 1:02.50 */
const clock = (seconds: number): string => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, '0')}`;

const runners: Readonly<Record<TaskName, Runner>> = {
  async 'sentence-similarity'({ loadEmbedder }, path, options) {
    const { pooling, normalize, prompt } = options;
    const inputs = await texts(options);
    await using embedder = await loadEmbedder(path, { ...options, pooling: pooling as readonly PoolingMode[] | undefined, normalize });
    const embeddings = await embedder.embed(inputs.map(({ input }) => plain(input)), { ...options, prompt });
    return inputs.map(({ name }, i) => ({ input: name, output: [...embeddings[i]!], summary: vector(embeddings[i]!) }));
  },
  async 'text-ranking'({ loadReranker }, path, options) {
    const { query } = options;
    if (query === undefined) throw new PenjingError('E_OPTION', 'ranking needs a --query');
    const inputs = await texts(options);
    await using reranker = await loadReranker(path, options);
    const ranked = await reranker.rank(query, inputs.map(({ input }) => plain(input)), options);
    return ranked.map(({ index, score }) => ({ input: inputs[index]!.name, output: { index, score }, summary: percent(score) }));
  },
  async 'text-classification'({ loadTextClassifier }, path, options) {
    const inputs = await texts(options);
    await using classifier = await loadTextClassifier(path, options);
    const found = await classifier.classify(inputs.map(({ input }) => input), options);
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: labelled(found[i]!) }));
  },
  async 'token-classification'({ loadTokenClassifier }, path, options) {
    const inputs = await texts(options);
    await using classifier = await loadTokenClassifier(path, options);
    const found = await classifier.classify(inputs.map(({ input }) => plain(input)), { ...options, aggregation: options.aggregation as 'simple' | undefined });
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: found[i]!.map(({ text, label, score }: TextSpan) => `${text} (${label} ${percent(score)})`).join(', ') }));
  },
  async 'fill-mask'({ loadMaskFiller }, path, options) {
    const inputs = await texts(options);
    await using filler = await loadMaskFiller(path, options);
    const found = await filler.fill(inputs.map(({ input }) => plain(input)), options);
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: found[i]!.map((words) => words.map(({ text, score }) => `${text} ${percent(score)}`).join(', ')).join(' | ') }));
  },
  async 'image-classification'({ loadImageClassifier }, path, options) {
    const inputs = await pictures(options);
    await using classifier = await loadImageClassifier(path, options);
    const found = await classifier.classify(inputs.map(({ input }) => input), options);
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: labelled(found[i]!) }));
  },
  async 'image-feature-extraction'({ loadImageEmbedder }, path, options) {
    const { pooling, normalize } = options;
    const inputs = await pictures(options);
    await using embedder = await loadImageEmbedder(path, { ...options, pooling: pooling?.[0] as 'cls' | undefined, normalize });
    const found = await embedder.embed(inputs.map(({ input }) => input), options);
    return inputs.map(({ name }, i) => ({ input: name, output: [...found[i]!], summary: vector(found[i]!) }));
  },
  async 'zero-shot-classification'({ loadZeroShotClassifier }, path, options) {
    const labels = named(options);
    const inputs = await texts(options);
    await using classifier = await loadZeroShotClassifier(path, options);
    const found = await classifier.classify(inputs.map(({ input }) => plain(input)), { ...options, labels });
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: labelled(found[i]!) }));
  },
  async 'zero-shot-image-classification'({ loadZeroShotImageClassifier }, path, options) {
    const labels = named(options);
    const inputs = await pictures(options);
    await using classifier = await loadZeroShotImageClassifier(path, options);
    const found = await classifier.classify(inputs.map(({ input }) => input), { ...options, labels });
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: labelled(found[i]!) }));
  },
  async 'question-answering'({ loadQuestionAnswerer }, path, options) {
    const { question } = options;
    if (question === undefined) throw new PenjingError('E_OPTION', 'answering needs a question', { hint: 'Ask it with --question, of the texts of --text or --data.' });
    const inputs = await texts(options);
    await using answerer = await loadQuestionAnswerer(path, options);
    const found = await answerer.answer(inputs.map(({ input }) => ({ question, text: plain(input) })), options);
    return inputs.map(({ name }, i) => ({ input: name, output: found[i], summary: found[i]!.map(({ text, score }) => `${text || 'no answer'} ${percent(score)}`) }));
  },
  async 'automatic-speech-recognition'({ loadSpeechRecognizer }, path, options) {
    const inputs = sounds(options);
    await using recognizer = await loadSpeechRecognizer(path, options);
    const results: TaskOutput[] = [];
    for (const input of inputs) {
      const output = await recognizer.transcribe(input, { ...options, task: options.translate ? 'translate' : 'transcribe', temperatures: options.temperature === undefined ? undefined : [options.temperature] });
      results.push({ input, output, summary: options.timestamps ? output.segments.map(({ start, end, text }) => `${clock(start)} – ${clock(end)}  ${text}`) : output.text });
    }
    return results;
  },
  async 'voice-activity-detection'({ loadVoiceDetector }, path, options) {
    const inputs = sounds(options);
    await using detector = await loadVoiceDetector(path, options);
    const results: TaskOutput[] = [];
    for (const input of inputs) {
      const { segments, seconds } = await detector.detect(input, options);
      results.push({ input, output: { segments, seconds }, summary: segments.map(({ start, end }) => `${start.toFixed(2)}–${end.toFixed(2)} s`).join(', ') || 'no speech' });
    }
    return results;
  },
};

async function texts(options: RunTaskOptions): ReturnType<typeof textInputs> {
  return some(await textInputs(options.texts ?? [], options.data ?? [], options.columns), 'Give texts: --text TEXT, or --data FILE.');
}

async function pictures(options: RunTaskOptions): ReturnType<typeof pictureInputs> {
  refuseTexts(options, 'sees pictures');
  return some(await pictureInputs(options.data ?? []), 'Give pictures: --picture FILE_OR_FOLDER.');
}

function named({ labels = [] }: RunTaskOptions): readonly string[] {
  if (labels.length > 0) return labels;
  throw new PenjingError('E_OPTION', 'this model has no classes of its own: name them', { hint: 'Give two or more: --label travel --label weather.' });
}

function sounds(options: RunTaskOptions): readonly string[] {
  refuseTexts(options, 'hears sounds');
  return some([...(options.data ?? [])], 'Give sounds: --sound FILE.wav.');
}

/** They would be passed over in silence. */
function refuseTexts({ texts: given = [] }: RunTaskOptions, task: string): void {
  if (given.length > 0) throw new PenjingError('E_OPTION', `--text is for models that read, and this task ${task}`);
}

function some<Item>(inputs: Item[], hint: string): Item[] {
  if (inputs.length > 0) return inputs;
  throw new PenjingError('E_OPTION', 'there is nothing to run the task on', { hint });
}

function plain(input: string | { readonly text: string }): string {
  if (typeof input === 'string') return input;
  throw new PenjingError('E_DATA', 'this task reads single texts, and the data holds pairs');
}
