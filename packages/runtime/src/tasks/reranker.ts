/** How well documents answer a query, read together with it by a cross-encoder. */
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { readJson } from '../tokenize/tokenizer-files.js';
import { activate, type Activation, activations, rowsOf } from './scores.js';
import { type JsonObject, type LoadTaskOptions, oneOf, wholeNumber } from './task-model.js';
import { openClassified } from './text-classifier.js';
import { overTexts, type TextOptions } from './text-model.js';

export interface RankOptions extends TextOptions {
  /** Most documents in the result; all when absent. */
  readonly topK?: number | undefined;
  /** What makes a score of the logit; as the folder says, and `sigmoid` where it does not. */
  readonly activation?: Exclude<Activation, 'softmax'> | undefined;
}

export interface RankedDocument {
  /** Which of the documents. */
  readonly index: number;
  readonly score: number;
}

export interface Reranker extends AsyncDisposable {
  readonly maxLength: number | undefined;
  /** Documents by their score, the best first; equal ones in the order in which they were given. */
  rank(query: string, documents: readonly string[], options?: RankOptions): Promise<RankedDocument[]>;
}

/** Loads a model folder with one logit for a pair of texts. Throws `E_TASK` for one with more, or none. */
export async function loadReranker(path: string, options: LoadTaskOptions = {}): Promise<Reranker> {
  const { model, output, classes } = await openClassified(path, options, 'ranking', 2);
  try {
    if (classes !== 1) throw new PenjingError('E_TASK', `${model.folder} gives ${classes} classes; a reranker gives one score`, { hint: 'Use it as a classifier of pairs of texts: --task text-classification.' });
    const usual = activationFor(model.config, (await readJson(join(model.folder, 'config_sentence_transformers.json'))) ?? {});
    return {
      maxLength: model.maxLength,
      async rank(query, documents, given = {}) {
        if (typeof query !== 'string') throw new PenjingError('E_INPUT', 'the query is no text');
        const count = wholeNumber('topK', given.topK, documents.length, 1, Number.MAX_SAFE_INTEGER);
        const activation = oneOf('activation', given.activation, activations.filter((name) => name !== 'softmax'), usual);
        const pairs = documents.map((pair) => ({ text: query, pair }));
        const scores = await overTexts(model, pairs, given, async ({ feeds, rows }) => {
          const { values } = rowsOf((await model.run(feeds, [output], given.signal))[output], output);
          return rows.map((_, i) => activate([values[i]!], activation)[0]!);
        });
        return scores.map((score, index) => ({ index, score })).sort((a, b) => b.score - a.score).slice(0, count);
      },
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/** Where CrossEncoder of sentence-transformers keeps its activation, by release; its default for one logit is the sigmoid. */
function activationFor(config: JsonObject, project: JsonObject): 'sigmoid' | 'none' {
  const inner = config['sentence_transformers'];
  const given = (inner as JsonObject | null | undefined)?.['activation_fn'] ?? config['sbert_ce_default_activation_function'] ?? project['activation_fn'];
  if (given === undefined || given === null) return 'sigmoid';
  const name = typeof given === 'string' ? given.slice(given.lastIndexOf('.') + 1) : '';
  if (name === 'Sigmoid') return 'sigmoid';
  if (name === 'Identity') return 'none';
  throw new PenjingError('E_CONFIG', `the activation ${typeof given === 'string' ? given : JSON.stringify(given)} of this reranker is not known here`, { hint: 'Say it: activation sigmoid or none.' });
}
