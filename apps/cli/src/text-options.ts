/** Options of verbs that predict a text with a language model. */
import type { OptionSpec } from './command.js';
import { integer, numberOf } from './options.js';

export const textOptions = [
  { flags: '--max-tokens <n>', help: 'stop after so many tokens of the data', parse: integer(2) },
  { flags: '--window <n>', help: 'text: tokens of a window (512, or the context of the model when that is shorter)', parse: integer(2) },
  { flags: '--stride <n>', help: 'text: tokens from one window to the next; below --window they overlap, and each token is predicted with more before it', parse: integer(1) },
  { flags: '--by-layer', help: 'text: run the model one block after the other, with one of them in memory; by itself where the model takes more than the memory that is free' },
] as const satisfies readonly OptionSpec[];

export interface TextOptions {
  readonly maxTokens: number | undefined;
  readonly windowTokens: number | undefined;
  readonly stride: number | undefined;
  readonly byLayer: boolean | undefined;
}

export function readTextOptions(options: Readonly<Record<string, unknown>>): TextOptions {
  return { maxTokens: numberOf(options, 'maxTokens'), windowTokens: numberOf(options, 'window'), stride: numberOf(options, 'stride'), byLayer: options['byLayer'] === true ? true : undefined };
}
