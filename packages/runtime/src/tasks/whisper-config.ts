/** What the files of a Whisper folder say: how sounds become spectrograms, and the tokens that every text begins with. */
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { readJson } from '../tokenize/tokenizer-files.js';
import type { LogMelShape } from './log-mel.js';
import type { JsonObject } from './task-model.js';

export interface WhisperConfig {
  readonly features: LogMelShape;
  readonly startToken: number;
  readonly endToken: number;
  /** Absent in models that know no timestamps. */
  readonly noTimestamps: number | undefined;
  /** What the model says of times; absent in models that know none. */
  readonly times: { readonly begin: number; readonly maxInitial: number | undefined; readonly previous: number | undefined } | undefined;
  /** Token by code (`en`); empty in models of one language. */
  readonly languages: ReadonlyMap<string, number>;
  readonly tasks: ReadonlyMap<string, number>;
  readonly suppress: readonly number[];
  readonly suppressFirst: readonly number[];
  /** Most tokens of a text with what it begins with. */
  readonly maxLength: number;
}

/** Throws `E_NOT_FOUND` without preprocessor_config.json, `E_CONFIG` naming a field that is missing or wrong. */
export async function readWhisperConfig(folder: string, config: JsonObject): Promise<WhisperConfig> {
  const [sound, generation = {}] = await Promise.all([readJson(join(folder, 'preprocessor_config.json')), readJson(join(folder, 'generation_config.json'))]);
  if (!sound) throw new PenjingError('E_NOT_FOUND', `${folder} has no preprocessor_config.json`, { hint: 'Copy it from the original model: it says how sounds become spectrograms.' });
  const both = { ...config, ...Object.fromEntries(Object.entries(generation).filter(([, value]) => value !== null)) };
  const whole = (values: JsonObject, name: string, low: number, high: number, usual?: number): number => {
    const value = values[name] ?? usual;
    if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
    throw new PenjingError('E_CONFIG', `${name} of the Whisper folder is ${JSON.stringify(value)}; it must be a whole number from ${low} to ${high}`);
  };
  const rate = whole(sound, 'sampling_rate', 8000, 96_000, 16_000);
  const window = whole(sound, 'n_fft', 16, 8192, 400);
  if (window % 2 !== 0) throw new PenjingError('E_CONFIG', `n_fft of the Whisper folder is ${window}; it must be even`);
  const hop = whole(sound, 'hop_length', 1, window, 160);
  const seconds = whole(sound, 'chunk_length', 1, 300, 30);
  const vocabulary = whole(config, 'vocab_size', 1, 2 ** 24, 51865);
  const token = (name: string): number => whole(both, name, 0, vocabulary - 1);
  const tokens = (name: string): number[] => {
    const value = both[name];
    return Array.isArray(value) ? value.filter((id): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabulary) : [];
  };
  const named = (name: string, strip: RegExp): ReadonlyMap<string, number> => {
    const value = both[name];
    const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    return new Map(entries.filter((entry): entry is [string, number] => Number.isInteger(entry[1]) && entry[1] >= 0 && entry[1] < vocabulary).map(([key, id]) => [key.replace(strip, ''), id]));
  };
  const noTimestamps = both['no_timestamps_token_id'] === undefined ? undefined : token('no_timestamps_token_id');
  const optional = (name: string): number | undefined => (both[name] === undefined ? undefined : token(name));
  // a token for every second frame of a window, and one for its end
  const timed = noTimestamps !== undefined && noTimestamps + 1 + whole(config, 'max_source_positions', 1, 2 ** 16, 1500) < vocabulary;
  const multilingual = both['is_multilingual'] !== false;
  return {
    features: { rate, window, hop, mels: whole(sound, 'feature_size', 1, 512, 80), length: seconds * rate },
    startToken: token('decoder_start_token_id'),
    endToken: token('eos_token_id'),
    noTimestamps,
    times: timed ? { begin: noTimestamps + 1, maxInitial: optional('max_initial_timestamp_index'), previous: optional('prev_sot_token_id') } : undefined,
    languages: multilingual ? named('lang_to_id', /<\||\|>/g) : new Map(),
    tasks: multilingual ? named('task_to_id', /(?!)/) : new Map(),
    suppress: tokens('suppress_tokens'),
    suppressFirst: tokens('begin_suppress_tokens'),
    maxLength: whole(config, 'max_target_positions', 8, 2 ** 16, 448),
  };
}
