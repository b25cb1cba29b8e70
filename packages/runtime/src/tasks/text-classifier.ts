/** Classes of texts, and of pairs of texts, with their scores. */
import { PenjingError } from '@penjing/core';
import type { TextInput } from '../tokenize/encode-inputs.js';
import { activate, activationOf, type Activation, activations, labelNames, type LabelScore, ranked, rowsOf } from './scores.js';
import { type LoadTaskOptions, oneOf, outputNamed, wholeNumber } from './task-model.js';
import { openTextModel, overTexts, type TextModel, type TextOptions } from './text-model.js';

export interface ClassifyTextOptions extends TextOptions {
  /** Most labels per text; all when absent. */
  readonly topK?: number | undefined;
  /** What makes scores of logits; as `problem_type` in config.json says when absent. */
  readonly activation?: Activation | undefined;
}

export interface TextClassifier extends AsyncDisposable {
  readonly labels: readonly string[];
  readonly maxLength: number | undefined;
  /** Labels of each text, the likeliest first. Throws `E_INPUT` naming a text that is too long. */
  classify(texts: readonly TextInput[], options?: ClassifyTextOptions): Promise<LabelScore[][]>;
}

/** Loads a model folder with a head of classes. Throws `E_TASK` for one without. */
export async function loadTextClassifier(path: string, options: LoadTaskOptions = {}): Promise<TextClassifier> {
  const { model, output, classes } = await openClassified(path, options, 'classes of texts', 2);
  const labels = labelNames(model.config, classes);
  return {
    labels,
    maxLength: model.maxLength,
    async classify(texts, given = {}) {
      const count = wholeNumber('topK', given.topK, classes, 1, Number.MAX_SAFE_INTEGER);
      const activation = oneOf('activation', given.activation, activations, activationOf(model.config, classes));
      return overTexts(model, texts, given, async ({ feeds, rows }) => {
        const { values } = rowsOf((await model.run(feeds, [output], given.signal))[output], output);
        return rows.map((_, i) => ranked(activate(values.subarray(i * classes, (i + 1) * classes), activation), labels, count));
      });
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

export interface ClassifiedModel {
  readonly model: TextModel;
  readonly output: string;
  readonly classes: number;
}

/** A text model whose `logits` have `rank` axes, the last of them classes. */
export async function openClassified(path: string, options: LoadTaskOptions, task: string, rank: number): Promise<ClassifiedModel> {
  const model = await openTextModel(path, options);
  try {
    const output = outputNamed(model, ['logits'], task);
    const type = model.outputs.find(({ name }) => name === output)!.type;
    const shape = type.kind === 'tensor' ? type.shape : undefined;
    const last = shape?.at(-1);
    const named = Object.keys((model.config['id2label'] as object | undefined) ?? {}).length;
    const classes = typeof last === 'number' ? last : named;
    if ((shape && shape.length !== rank) || classes < 1) throw new PenjingError('E_TASK', `${model.folder} is not for ${task}: its logits are [${shape?.join(', ') ?? ''}]`, { hint: 'Convert the checkpoint for the task: `penjing convert --task …`.' });
    return { model, output, classes };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
