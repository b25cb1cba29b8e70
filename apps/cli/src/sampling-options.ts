/** Options of verbs that have a language model write: which tokens are drawn, and when it ends. */
import type { OptionSpec } from './command.js';
import { decimal, integer, listOf, numberOf } from './options.js';

export const samplingOptions = [
  { flags: '-n, --max-new-tokens <n>', help: 'most tokens to write', parse: integer(1) },
  { flags: '--temperature <t>', help: '0 (default) always takes the likeliest token', parse: decimal(0, 100) },
  { flags: '--top-k <k>', help: 'sample among the k likeliest tokens', parse: integer(0) },
  { flags: '--top-p <p>', help: 'sample among the likeliest tokens that together have this probability', parse: decimal(0, 1) },
  { flags: '--min-p <p>', help: 'sample among tokens at least this share as likely as the likeliest', parse: decimal(0, 1) },
  { flags: '--repetition-penalty <x>', help: 'above 1: what was said becomes less likely', parse: decimal(0.01, 100) },
  { flags: '--frequency-penalty <x>', help: 'above 0: less likely each time it was written', parse: decimal(-100, 100) },
  { flags: '--presence-penalty <x>', help: 'above 0: less likely once it was written', parse: decimal(-100, 100) },
] as const satisfies readonly OptionSpec[];

export const stopOption: OptionSpec = { flags: '--stop <text>', help: 'end before this text; may be repeated', repeat: true };

/** As the runtime's generator takes them. */
export interface Sampling {
  readonly maxNewTokens: number | undefined;
  readonly temperature: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  readonly frequencyPenalty: number | undefined;
  readonly presencePenalty: number | undefined;
  readonly stop: readonly string[];
}

export function readSampling(options: Readonly<Record<string, unknown>>): Sampling {
  return {
    maxNewTokens: numberOf(options, 'maxNewTokens'),
    temperature: numberOf(options, 'temperature'),
    topK: numberOf(options, 'topK'),
    topP: numberOf(options, 'topP'),
    minP: numberOf(options, 'minP'),
    repetitionPenalty: numberOf(options, 'repetitionPenalty'),
    frequencyPenalty: numberOf(options, 'frequencyPenalty'),
    presencePenalty: numberOf(options, 'presencePenalty'),
    stop: listOf(options, 'stop'),
  };
}
