/** The likeliest words in the place of a mask. */
import { PenjingError } from '@penjing/core';
import { type LoadTaskOptions, wholeNumber } from './task-model.js';
import { openClassified } from './text-classifier.js';
import { overTexts, type TextOptions } from './text-model.js';

export interface FillMaskOptions extends TextOptions {
  /** Most words per mask; 5 when absent. */
  readonly topK?: number | undefined;
  /** Only these words, each one token of the vocabulary. */
  readonly targets?: readonly string[] | undefined;
}

export interface MaskFilling {
  readonly token: number;
  /** The word of the token. */
  readonly text: string;
  /** Its probability among the whole vocabulary. */
  readonly score: number;
  /** The text with this word in the place of this mask; other masks stay. */
  readonly sequence: string;
}

export interface MaskFiller extends AsyncDisposable {
  readonly maskToken: string;
  readonly maxLength: number | undefined;
  /** For each text, and each mask in it: the likeliest words, the likeliest first. Throws `E_INPUT` naming a text without a mask. */
  fill(texts: readonly string[], options?: FillMaskOptions): Promise<MaskFilling[][][]>;
}

const MAX_WORDS = 1000;

/** Loads a model folder that guesses masked tokens. Throws `E_TASK` for one that does not, or has no mask token. */
export async function loadMaskFiller(path: string, options: LoadTaskOptions = {}): Promise<MaskFiller> {
  const { model, output } = await openClassified(path, options, 'filling masks', 3);
  try {
    const { tokenizer } = model;
    const { maskToken } = tokenizer;
    const maskId = maskToken === undefined ? undefined : tokenizer.idOf(maskToken);
    if (maskToken === undefined || maskId === undefined) throw new PenjingError('E_TASK', `the tokenizer of ${model.folder} has no mask token`, { hint: 'tokenizer_config.json names it: mask_token.' });
    return {
      maskToken,
      maxLength: model.maxLength,
      async fill(texts, given = {}) {
        const count = wholeNumber('topK', given.topK, 5, 1, MAX_WORDS);
        const among = given.targets?.map((word) => {
          const [id, ...more] = tokenizer.encode(word, { specialTokens: false });
          if (id !== undefined && more.length === 0 && tokenizer.tokenOf(id) !== tokenizer.unknownToken) return id;
          throw new PenjingError('E_INPUT', `the target ${word} is not one token of this vocabulary`);
        });
        return overTexts(model, texts, given, async (batch) => {
          const { feeds, rows, length } = batch;
          const masks = rows.map((row) => row.ids.flatMap((id, i) => (id === maskId ? [i] : [])));
          const empty = masks.findIndex((places) => places.length === 0);
          if (empty >= 0) throw new PenjingError('E_INPUT', `text ${rows[empty]!.index} has no ${maskToken}`, { hint: `Write ${maskToken} where a word is wanted.` });
          const places = rows.flatMap(({ start }, b) => masks[b]!.map((i) => b * length + start + i));
          const { values, width, places: tokens } = await model.reduce(feeds, output, { kind: 'likeliest', rows: places, count: among ? among.length : count, among }, given.signal);
          let at = 0;
          return rows.map(({ ids }, b) => masks[b]!.map((place) => {
            const first = at++ * width;
            return Array.from({ length: Math.min(width, count) }, (_, k): MaskFilling => {
              const token = tokens![first + k]!;
              const sequence = tokenizer.decode(ids.map((id, i) => (i === place ? token : id)), { skipSpecialTokens: masks[b]!.length === 1 });
              return { token, text: tokenizer.decode([token], { skipSpecialTokens: false }).trim(), score: values[first + k]!, sequence };
            });
          }));
        });
      },
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
