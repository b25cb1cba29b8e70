/** Names, places and other spans in texts, by the classes of their tokens. */
import { type Aggregation, aggregations, groupTokens, type TaggedToken, type TextSpan } from './group-tokens.js';
import { activate, labelNames, rowsOf } from './scores.js';
import { type LoadTaskOptions, oneOf } from './task-model.js';
import { openClassified } from './text-classifier.js';
import { overTexts, type TextOptions } from './text-model.js';

export interface ClassifyTokensOptions extends TextOptions {
  /**
   * How tokens become spans: 'none' gives every token; 'simple' joins neighbours of one class; 'first', 'average' and 'max' first make the tokens of a word agree. 'simple' when
   * absent.
   */
  readonly aggregation?: Aggregation | undefined;
  /** Classes that are left out; 'O' when absent. */
  readonly ignoreLabels?: readonly string[] | undefined;
}

export interface TokenClassifier extends AsyncDisposable {
  readonly labels: readonly string[];
  readonly maxLength: number | undefined;
  /** Spans of each text, in their order in it. Throws `E_INPUT` naming a text that is too long. */
  classify(texts: readonly string[], options?: ClassifyTokensOptions): Promise<TextSpan[][]>;
}

/** Loads a model folder that gives every token a class. Throws `E_TASK` for one that does not. */
export async function loadTokenClassifier(path: string, options: LoadTaskOptions = {}): Promise<TokenClassifier> {
  const { model, output, classes } = await openClassified(path, options, 'classes of tokens', 3);
  const { tokenizer } = model;
  const labels = labelNames(model.config, classes);
  // Some tokenizers keep what they do not know as it is spelled, and only number it as unknown.
  const unknownId = tokenizer.unknownToken === undefined ? undefined : tokenizer.idOf(tokenizer.unknownToken);
  return {
    labels,
    maxLength: model.maxLength,
    async classify(texts, given = {}) {
      const aggregation = oneOf('aggregation', given.aggregation, aggregations, 'simple');
      const ignored = new Set(given.ignoreLabels ?? ['O']);
      return overTexts(model, texts, given, async ({ feeds, rows, length }) => {
        const { values } = rowsOf((await model.run(feeds, [output], given.signal))[output], output);
        return rows.map((row, b) => {
          const text = texts[row.index]!;
          const spans = tokenizer.spans(text, row.tokens);
          const tagged = row.places.flatMap((place, i): TaggedToken[] => {
            if (place < 0) return [];
            const at = (b * length + row.start + i) * classes;
            const token = row.tokens[place]!;
            return [{ ...spans[place]!, token, scores: activate(values.subarray(at, at + classes), 'softmax'), unknown: row.ids[i] === unknownId }];
          });
          return groupTokens(text, tagged, { aggregation, labels, wordAware: tokenizer.continuingPrefix !== '' }).filter(({ label }) => !ignored.has(label));
        });
      });
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
