/** Classes of pictures with their scores. */
import { overPictures, type PictureInput, type PictureOptions, openPictureModel } from './picture-model.js';
import { activate, activationOf, type Activation, activations, labelNames, type LabelScore, ranked, rowsOf } from './scores.js';
import { type LoadTaskOptions, oneOf, outputNamed, wholeNumber } from './task-model.js';

export interface ClassifyImageOptions extends PictureOptions {
  /** Most labels per picture; 5 when absent, as in transformers. */
  readonly topK?: number | undefined;
  /** What makes scores of logits; as `problem_type` in config.json says when absent. */
  readonly activation?: Activation | undefined;
}

export interface ImageClassifier extends AsyncDisposable {
  /** Labels of each picture, the likeliest first. Throws `E_INPUT` naming a picture that is none, `E_DECODER` where a library is missing. */
  classify(pictures: readonly PictureInput[], options?: ClassifyImageOptions): Promise<LabelScore[][]>;
}

/** Loads a model folder that sorts pictures into classes. Throws `E_TASK` for one that does not. */
export async function loadImageClassifier(path: string, options: LoadTaskOptions = {}): Promise<ImageClassifier> {
  const model = await openPictureModel(path, options);
  try {
    const output = outputNamed(model, ['logits'], 'classes of pictures');
    return {
      async classify(pictures, given = {}) {
        const count = wholeNumber('topK', given.topK, 5, 1, Number.MAX_SAFE_INTEGER);
        oneOf('activation', given.activation, activations, 'none');
        return overPictures(model, pictures, given, async (feeds, batch) => {
          const { values, width } = rowsOf((await model.run(feeds, [output], given.signal))[output], output);
          const activation = given.activation ?? activationOf(model.config, width);
          const labels = labelNames(model.config, width);
          return Array.from({ length: batch }, (_, i) => ranked(activate(values.subarray(i * width, (i + 1) * width), activation), labels, count));
        });
      },
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
