/** Classes of texts that are named when it is run: a model that knows what follows from what says how well each fits. */
import { PenjingError } from '@penjing/core';
import { type CandidateOptions, candidateSentences } from './candidates.js';
import { activate, labelNames, type LabelScore, ranked, rowsOf } from './scores.js';
import { isList, type LoadTaskOptions, wholeNumber } from './task-model.js';
import { openClassified } from './text-classifier.js';
import { overTexts, type TextOptions } from './text-model.js';

export interface ZeroShotOptions extends TextOptions, CandidateOptions {
  /** The sentence of which is asked whether it follows from the text; 'This example is {}.' when absent. */
  readonly template?: string | undefined;
  /** Several may be true: each has a probability of its own, against that it is contradicted. False when absent: they share 1. */
  readonly multiLabel?: boolean | undefined;
  /** Most labels per text; all when absent. */
  readonly topK?: number | undefined;
}

export interface ZeroShotClassifier extends AsyncDisposable {
  readonly maxLength: number | undefined;
  /** The labels for each text, the likeliest first. Throws `E_INPUT` naming a text that is too long, `E_OPTION` for labels that are none. */
  classify(texts: readonly string[], options: ZeroShotOptions): Promise<LabelScore[][]>;
}

/** Loads a model folder of natural language inference. Throws `E_TASK` for one that has no class of entailment. */
export async function loadZeroShotClassifier(path: string, options: LoadTaskOptions = {}): Promise<ZeroShotClassifier> {
  const { model, output, classes } = await openClassified(path, options, 'classes of texts', 2);
  const names = labelNames(model.config, classes);
  const entailed = names.findIndex((name) => name.toLowerCase().startsWith('entail'));
  if (entailed < 0 || classes < 2) {
    await model[Symbol.asyncDispose]();
    throw new PenjingError('E_TASK', `${model.folder} does not tell what follows from a text: its classes are ${names.join(', ')}`, { hint: 'Take a model of natural language inference, with the classes entailment and contradiction.' });
  }
  // as transformers has it: the first class speaks against it, or the last where the first speaks for it
  const contradicted = entailed === 0 ? classes - 1 : 0;
  return {
    maxLength: model.maxLength,
    async classify(texts, given) {
      const { labels, multiLabel = false, topK } = given ?? {};
      const sentences = candidateSentences({ ...given }, 'This example is {}.');
      const count = wholeNumber('topK', topK, labels.length, 1, Number.MAX_SAFE_INTEGER);
      if (!isList(texts)) throw new PenjingError('E_INPUT', 'texts are given as a list of strings');
      const pairs = texts.flatMap((text) => sentences.map((pair) => ({ text, pair })));
      const onProgress = given.onProgress;
      const rows = await overTexts(model, pairs, { ...given, ...(onProgress && { onProgress: (event) => onProgress({ ...event, unit: 'pairs' }) }) }, async ({ feeds, rows: batch }) => {
        const { values } = rowsOf((await model.run(feeds, [output], given.signal))[output], output);
        return batch.map((_, i) => values.slice(i * classes, (i + 1) * classes));
      });
      return texts.map((_, i) => {
        const logits = rows.slice(i * labels.length, (i + 1) * labels.length);
        const alone = multiLabel || labels.length === 1;
        const scores = alone ? logits.map((row) => activate([row[contradicted]!, row[entailed]!], 'softmax')[1]!) : activate(logits.map((row) => row[entailed]!), 'softmax');
        return ranked(scores, labels, count);
      });
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
