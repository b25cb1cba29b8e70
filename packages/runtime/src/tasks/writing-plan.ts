/** The options of writing what is heard, checked. */
import { PenjingError } from '@penjing/core';
import type { TextThresholds } from '../worker/transcribe.js';
import type { TranscribeOptions } from './speech-recognizer.js';
import { wholeNumber } from './task-model.js';
import type { WhisperConfig } from './whisper-config.js';

export interface WritingPlan {
  /** Undefined: as is usual. */
  readonly temperatures: readonly number[] | undefined;
  readonly thresholds: TextThresholds;
  readonly seed: number;
}

export const GREEDY: readonly number[] = [0];
/** As OpenAI's program and the documentation of transformers have them. */
export const FALLBACK: readonly number[] = [0, 0.2, 0.4, 0.6, 0.8, 1];

/** Tokens that a text begins with, at most. */
const PROMPT = 4;

/** Throws `E_OPTION` naming an option and its range. */
export function checkedPlan(options: TranscribeOptions, { maxLength }: WhisperConfig): WritingPlan {
  wholeNumber('maxNewTokens', options.maxNewTokens, 1, 1, maxLength - PROMPT);
  const { temperatures } = options;
  if (temperatures !== undefined && (!Array.isArray(temperatures) || temperatures.length === 0 || temperatures.length > 16 || !temperatures.every((each) => Number.isFinite(each) && each >= 0 && each <= 2))) {
    throw new PenjingError('E_OPTION', `temperatures are ${JSON.stringify(temperatures)}; they must be 1 to 16 numbers from 0 to 2`);
  }
  return {
    temperatures,
    thresholds: {
      compressionRatio: threshold('compressionRatioThreshold', options.compressionRatioThreshold, 1.35, 0, 1e3),
      logProbability: threshold('logProbabilityThreshold', options.logProbabilityThreshold, -1, -1e3, 0),
      noSpeech: threshold('noSpeechThreshold', options.noSpeechThreshold, 0.6, 0, 1),
    },
    seed: wholeNumber('seed', options.seed, 0, 0, 2 ** 32 - 1),
  };
}

function threshold(name: string, value: number | false | undefined, usual: number, low: number, high: number): number | undefined {
  if (value === false) return undefined;
  if (value === undefined) return usual;
  if (typeof value === 'number' && value >= low && value <= high) return value;
  throw new PenjingError('E_OPTION', `${name} is ${value}; it must be from ${low} to ${high}, or false`);
}
