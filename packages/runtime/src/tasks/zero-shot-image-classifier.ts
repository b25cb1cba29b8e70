/** Classes of pictures that are named when it is run, by models that know pictures and texts: CLIP, SigLIP. */
import { type Feeds, PenjingError } from '@penjing/core';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import { type CandidateOptions, candidateSentences } from './candidates.js';
import { readPictureProcessor } from './picture-processor.js';
import { overPictures, type PictureInput, type PictureOptions } from './picture-model.js';
import { activate, type LabelScore, ranked, rowsOf } from './scores.js';
import { type LoadTaskOptions, openTaskModel, outputNamed, wholeNumber } from './task-model.js';
import { fixed, inputNamed, padded, shortest } from './text-model.js';

export interface MatchPictureOptions extends PictureOptions, CandidateOptions {
  /** The sentence that a label is put into; 'This is a photo of {}.' when absent. */
  readonly template?: string | undefined;
  /** Most labels per picture; all when absent. */
  readonly topK?: number | undefined;
  /** Cuts labels that are longer than the model reads; they are refused when absent. */
  readonly truncate?: boolean | undefined;
}

export interface ZeroShotImageClassifier extends AsyncDisposable {
  /**
   * The labels for each picture, the likeliest first: those of CLIP share 1, those of SigLIP have a probability each. Throws `E_OPTION` for labels, a template or a count that cannot be, `E_INPUT` for a label that
   * is longer than the model reads and a picture that is none, and what reading a file of a picture throws: `E_NOT_FOUND`, `E_DECODER`, `E_DATA`, `E_LIMIT`.
   */
  classify(pictures: readonly PictureInput[], options: MatchPictureOptions): Promise<LabelScore[][]>;
}

/** SigLIP read texts of 64 tokens, padding and all, and has no mask to leave it out. */
const SIGLIP_LENGTH = 64;

/** Loads a model folder that matches pictures with texts. Throws `E_TASK` for one that does not. */
export async function loadZeroShotImageClassifier(path: string, options: LoadTaskOptions = {}): Promise<ZeroShotImageClassifier> {
  const model = await openTaskModel(path, options);
  try {
    const output = outputNamed(model, ['logits_per_image'], 'matching pictures with texts');
    for (const name of ['pixel_values', 'input_ids']) if (!inputNamed(model, name)) throw new PenjingError('E_TASK', `${model.folder} reads no ${name}`, { hint: 'Convert the checkpoint for zero-shot-image-classification.' });
    const [processor, tokenizer] = await Promise.all([readPictureProcessor(model.folder), loadTokenizer(model.folder)]);
    const seen = { ...model, processor };
    const each = String(model.config['model_type']).includes('siglip');
    const positions = ((model.config['text_config'] ?? {}) as { max_position_embeddings?: unknown }).max_position_embeddings;
    const known = fixed(inputNamed(model, 'input_ids'), 1);
    const maxLength = shortest(tokenizer.maxLength, typeof positions === 'number' ? positions : undefined, known, each ? SIGLIP_LENGTH : undefined);
    return {
      async classify(pictures, given) {
        const sentences = candidateSentences({ ...given }, 'This is a photo of {}.');
        const { labels } = given;
        const count = wholeNumber('topK', given.topK, labels.length, 1, Number.MAX_SAFE_INTEGER);
        const rows = tokenizer.encodeInputs(sentences, { maxLength, truncate: each || given.truncate, nameOf: (i) => `label ${i}` }).map((row, index) => ({ ...row, index }));
        const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), 1);
        const texts = padded({ inputs: model.inputs, tokenizer }, rows, known ?? (each ? maxLength! : longest), rows.length).feeds;
        return overPictures(seen, pictures, given, async (feeds: Feeds, batch) => {
          const { values, width } = rowsOf((await model.run({ ...texts, ...feeds }, [output], given.signal))[output], output);
          return Array.from({ length: batch }, (_, i) => ranked(activate(values.subarray(i * width, (i + 1) * width), each ? 'sigmoid' : 'softmax'), labels, count));
        });
      },
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
