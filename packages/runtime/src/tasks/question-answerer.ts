/** Answers to questions, found in a text: the span that likeliest begins and ends one. */
import { PenjingError } from '@penjing/core';
import type { EncodedInput } from '../tokenize/encode-inputs.js';
import { activate, rowsOf } from './scores.js';
import { isList, type LoadTaskOptions, outputNamed, wholeNumber } from './task-model.js';
import { fixed, inputNamed, openTextModel, padded, type TextModel } from './text-model.js';

export interface AnswerOptions {
  /** Most answers per question; 1 when absent. */
  readonly topK?: number | undefined;
  /** Most tokens of an answer; 15 when absent. */
  readonly maxAnswerLength?: number | undefined;
  /** That the text has no answer is one too: an empty one. For models that were trained so; false when absent. */
  readonly allowImpossible?: boolean | undefined;
  /** Texts that are too long are read in windows, which share so many tokens; 128 when absent, and at most half a window. */
  readonly overlap?: number | undefined;
  /** Answers begin and end with whole words; true when absent. */
  readonly wholeWords?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  /** Empty where there is none. */
  readonly text: string;
  /** Probability of the beginning times that of the end. */
  readonly score: number;
  /** Where it stands in the text; both 0 where there is none. */
  readonly start: number;
  readonly end: number;
}

export interface Question {
  /** What is asked, in the words of the asker. */
  readonly question: string;
  /** Where the answer is looked for. It may be longer than the model reads; an empty one has no answers. */
  readonly text: string;
}

export interface QuestionAnswerer extends AsyncDisposable {
  /** Most tokens that the model reads at a time, question and text together; undefined where its folder does not say. Longer texts are read in windows. */
  readonly maxLength: number | undefined;
  /** Answers to each question, the likeliest first. Throws `E_INPUT` naming a question that is too long or none. */
  answer(questions: readonly Question[], options?: AnswerOptions): Promise<Answer[][]>;
}

const [STARTS, ENDS] = ['start_logits', 'end_logits'];
/** Longer windows take more than they give, as transformers found. */
const MAX_WINDOW = 384;

/** Loads a model folder that finds answers. Throws `E_TASK` for one that does not. */
export async function loadQuestionAnswerer(path: string, options: LoadTaskOptions = {}): Promise<QuestionAnswerer> {
  const model = await openTextModel(path, options);
  try {
    for (const name of [STARTS, ENDS]) outputNamed(model, [name], 'answers to questions');
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
  return {
    maxLength: model.maxLength,
    async answer(questions, given = {}) {
      if (!isList(questions)) throw new PenjingError('E_INPUT', 'questions are given as a list of { question, text }');
      const plan = {
        count: wholeNumber('topK', given.topK, 1, 1, 1000), longest: wholeNumber('maxAnswerLength', given.maxAnswerLength, 15, 1, 10_000), overlap: wholeNumber('overlap', given.overlap, 128, 0, 100_000),
        impossible: given.allowImpossible === true, wholeWords: given.wholeWords !== false, signal: given.signal,
      };
      const results: Answer[][] = [];
      for (const [i, question] of questions.entries()) results.push(await answerOne(model, question, `question ${i}`, plan));
      return results;
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

interface Plan {
  readonly count: number;
  readonly longest: number;
  readonly overlap: number;
  readonly impossible: boolean;
  readonly wholeWords: boolean;
  readonly signal: AbortSignal | undefined;
}

async function answerOne(model: TextModel, { question, text }: Question, name: string, plan: Plan): Promise<Answer[]> {
  const [whole] = model.tokenizer.encodeInputs([{ text: question, pair: text }], { nameOf: () => name }) as [EncodedInput];
  const spans = model.tokenizer.spans(text, whole.pairTokens);
  const found = new Map<string, Answer>();
  let none = 1;
  for (const window of windowsOf(model, whole, name, plan.overlap)) {
    plan.signal?.throwIfAborted();
    const length = fixed(inputNamed(model, 'input_ids'), 1) ?? window.ids.length;
    const { feeds, rows } = padded(model, [{ ...window, index: 0 }], length, fixed(inputNamed(model, 'input_ids'), 0) ?? 1);
    const fetched = await model.run(feeds, [STARTS, ENDS], plan.signal);
    const from = rows[0]!.start;
    const [starts, ends] = [STARTS, ENDS].map((output) => chances(rowsOf(fetched[output], output).values.subarray(from, from + window.ids.length), window, model)) as [Float64Array, Float64Array];
    none = Math.min(none, starts[0]! * ends[0]!);
    for (const [score, a, b] of likeliestSpans(starts, ends, window.pairPlaces, plan)) {
      const [start, end] = widened(text, spans[window.pairPlaces[a]!]!.start, spans[window.pairPlaces[b]!]!.end, plan.wholeWords);
      const key = `${start} ${end}`;
      if (start < end && score > (found.get(key)?.score ?? -1)) found.set(key, { text: text.slice(start, end), score, start, end });
    }
  }
  const answers = [...found.values(), ...(plan.impossible ? [{ text: '', score: none, start: 0, end: 0 }] : [])];
  return answers.sort((a, b) => b.score - a.score).slice(0, plan.count);
}

/** The question with as much of the text as the model reads, again and again: what stands around the text stays. */
function* windowsOf({ maxLength = Infinity }: TextModel, whole: EncodedInput, name: string, overlap: number): Generator<EncodedInput> {
  const limit = Math.min(maxLength, MAX_WINDOW);
  const { ids, pairPlaces } = whole;
  const [first, last] = [pairPlaces.findIndex((place) => place >= 0), pairPlaces.findLastIndex((place) => place >= 0)];
  if (first < 0) return;
  const count = last - first + 1;
  const room = limit - (ids.length - count);
  const shared = Math.min(overlap, Math.floor(limit / 2));
  if (room <= shared && count > room) throw new PenjingError('E_INPUT', `${name} leaves ${Math.max(0, room)} of ${limit} tokens for the text, and windows share ${shared}`, { hint: 'Ask a shorter question, or set a smaller overlap.' });
  for (let from = 0; ; from += room - shared) {
    const end = Math.min(count, from + room);
    const cut = <Item>(items: readonly Item[]): readonly Item[] => [...items.slice(0, first), ...items.slice(first + from, first + end), ...items.slice(last + 1)];
    yield { ...whole, ids: cut(ids), types: cut(whole.types), places: cut(whole.places), pairPlaces: cut(pairPlaces) };
    if (end === count) return;
  }
}

/** Probabilities over the text and the token that stands for no answer, the first. */
function chances(logits: Float32Array, { ids, pairPlaces }: EncodedInput, { tokenizer }: TextModel): Float64Array {
  const none = tokenizer.classToken === undefined ? undefined : tokenizer.idOf(tokenizer.classToken);
  return activate(Array.from(logits, (value, i) => (pairPlaces[i]! >= 0 || (none !== undefined && ids[i] === none) ? value : -1e4)), 'softmax');
}

/** The best by score, as [score, first, last]: more than are wanted, since several may be one after they are widened to words. */
function likeliestSpans(starts: Float64Array, ends: Float64Array, places: readonly number[], { count, longest }: Plan): [number, number, number][] {
  const wanted = count * 4;
  const best: [number, number, number][] = [];
  for (const [a, start] of starts.entries()) {
    if (places[a]! < 0) continue;
    for (let b = a; b < Math.min(ends.length, a + longest) && places[b]! >= 0; b++) {
      const score = start * ends[b]!;
      if (best.length === wanted && score <= best[wanted - 1]![0]) continue;
      const at = best.findLastIndex(([other]) => other >= score) + 1;
      best.splice(at, 0, [score, a, b]);
      if (best.length > wanted) best.pop();
    }
  }
  return best;
}

const WORD = /[\p{L}\p{N}\p{M}]/u;

/** Without space at either end, and not in the middle of a word. */
function widened(text: string, from: number, to: number, words: boolean): [number, number] {
  let [start, end] = [from, to];
  while (start < end && /\s/.test(text[start]!)) start++;
  while (end > start && /\s/.test(text[end - 1]!)) end--;
  if (!words || start === end) return [start, end];
  const inWord = (at: number): boolean => at > 0 && at < text.length && WORD.test(text[at - 1]!) && WORD.test(text[at]!);
  while (inWord(start)) start--;
  while (inWord(end)) end++;
  return [start, end];
}
