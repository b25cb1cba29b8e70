/** Splits a text into tokens in a worker: loading a tokenizer and reading a long text with it take seconds. */
import { type Job, jobModule } from '@penjing/core';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';

export interface TextToSplit {
  /** The folder of the tokenizer. */
  readonly folder: string;
  readonly text: string;
}

export const textTokensJob: Job<TextToSplit, Int32Array> = {
  module: jobModule(import.meta.url, './text-tokens-job'),
  name: 'textTokensJob',
  run: async ({ folder, text }) => Int32Array.from((await loadTokenizer(folder)).encode(text)),
};
