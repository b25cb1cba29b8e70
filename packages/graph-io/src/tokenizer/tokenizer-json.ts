/** The parts of tokenizer.json, the format of the Hugging Face `tokenizers` library. */
import type { JsonObject } from '../hf/folder.js';

/** Both files of a tokenizer. */
export interface TokenizerJsonFiles {
  /** tokenizer.json. */
  readonly tokenizerJson: JsonObject;
  /** tokenizer_config.json. */
  readonly tokenizerConfig: JsonObject;
}

/** A token that is cut out of the text before anything else. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of decoded text. */
  readonly special: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly single_word?: boolean;
  readonly normalized?: boolean;
}

export interface SpecialToken {
  readonly id: number;
  readonly content: string;
}

/** What turns text into pieces and back. */
export interface Pipeline {
  readonly normalizer: JsonObject | null;
  readonly pre_tokenizer: JsonObject | null;
  readonly decoder: JsonObject;
  readonly model: JsonObject;
  /** Symbols that are no special tokens are looked for in the normalized text. */
  readonly normalizedSymbols?: boolean;
}

/** Tokens around a text, and between the two of a pair. */
export interface Template {
  readonly before: readonly SpecialToken[];
  readonly after: readonly SpecialToken[];
  /** `after` when absent: each text ends as one alone does. */
  readonly between?: readonly SpecialToken[];
  /** Token type of the second text; 0 when absent. */
  readonly secondType?: number;
}

export function tokenizerJson(pipeline: Pipeline, added: readonly AddedToken[], template: Template | undefined): JsonObject {
  const tokens = [...new Map(added.map((token) => [token.id, token])).values()].sort((a, b) => a.id - b.id);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokens.map(({
      id, content, special, lstrip = false, rstrip = false, single_word = false, normalized = !special && pipeline.normalizedSymbols === true,
    }) => ({
      id, content, single_word, lstrip, rstrip, normalized, special,
    })),
    normalizer: pipeline.normalizer,
    pre_tokenizer: pipeline.pre_tokenizer,
    post_processor: template ? templateProcessing(template) : null,
    decoder: pipeline.decoder,
    model: pipeline.model,
  };
}

function templateProcessing({ before, after, between = after, secondType = 0 }: Template): JsonObject | null {
  if (before.length + after.length + between.length === 0) return null;
  const special = (tokens: readonly SpecialToken[], type = 0): object[] => tokens.map(({ content }) => ({ SpecialToken: { id: content, type_id: type } }));
  const text = (id: 'A' | 'B', type = 0): object => ({ Sequence: { id, type_id: type } });
  const used = [...before, ...between, ...after];
  return {
    type: 'TemplateProcessing',
    single: [...special(before), text('A'), ...special(after)],
    pair: [...special(before), text('A'), ...special(between), text('B', secondType), ...special(after, secondType)],
    special_tokens: Object.fromEntries(used.map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }])),
  };
}

export const sequence = {
  normalizers: (normalizers: readonly JsonObject[]): JsonObject | null => one(normalizers) ?? { type: 'Sequence', normalizers },
  pretokenizers: (pretokenizers: readonly JsonObject[]): JsonObject | null => one(pretokenizers) ?? { type: 'Sequence', pretokenizers },
} as const;

export const replace = (pattern: { readonly String: string } | { readonly Regex: string }, content: string): JsonObject => ({ type: 'Replace', pattern, content });

function one(steps: readonly JsonObject[]): JsonObject | null | undefined {
  return steps.length > 1 ? undefined : (steps[0] ?? null);
}
