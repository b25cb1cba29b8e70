/** Writes what an encoder heard, token by token: states and caches of both graphs stay in this thread. */
import { deflateSync } from 'node:zlib';
import { createRng, PenjingError, type Rng } from '@penjing/core';
import { applyTimestampRules, type TimestampRules } from '../tasks/timestamp-rules.js';
import { logitRows } from './logits.js';
import type { SessionTable } from './session-table.js';
import { type OrtTensor, toOrt } from './tensors.js';
import type { CallContext, SessionValue, WireTensor } from './wire-types.js';
import { sessionInfo } from './session-table.js';

export interface TranscribeParams {
  readonly encoder: number;
  readonly decoder: number;
  /** (1, mels, frames). */
  readonly features: WireTensor;
  /** Tokens that every text begins with; the place of -1 takes the likeliest of `languages`. */
  readonly prompt: readonly number[];
  readonly languages: readonly number[];
  /** Never written; never written first. */
  readonly suppress: readonly number[];
  readonly suppressFirst: readonly number[];
  readonly endToken: number;
  readonly maxNewTokens: number;
  /** What was written of the windows before, ahead of the prompt. */
  readonly previous: readonly number[];
  /** Times are written too. */
  readonly times: Omit<TimestampRules, 'endToken'> | undefined;
  /** Tried one after the other until a text is good enough; 0 takes the likeliest tokens. */
  readonly temperatures: readonly number[];
  readonly thresholds: TextThresholds;
  /** Its probability at the first token of the prompt says how likely nobody speaks. */
  readonly noSpeechToken: number | undefined;
  readonly seed: number;
}

/** What is undefined is not looked at. */
export interface TextThresholds {
  /** A text that repeats itself more is tried again. */
  readonly compressionRatio: number | undefined;
  /** A text that is less likely, on average by token, is tried again. */
  readonly logProbability: number | undefined;
  /** A text that is tried again for that is dropped where nobody speaks with more than this probability. */
  readonly noSpeech: number | undefined;
}

export interface TranscribeResult extends TextQuality {
  /** Without the prompt and the token that ended the text. */
  readonly tokens: number[];
  /** What stood at -1. */
  readonly language: number | undefined;
  readonly ended: boolean;
  /** Nobody speaks, by the thresholds. */
  readonly silent: boolean;
}

export interface TextQuality {
  readonly temperature: number;
  /** Natural logarithm, by token. */
  readonly averageLogProbability: number;
  /** Bytes of the tokens, to what zlib makes of them. */
  readonly compressionRatio: number;
  readonly noSpeechProbability: number | undefined;
}

export async function transcribe(sessions: SessionTable, params: TranscribeParams, { signal }: CallContext<never>): Promise<TranscribeResult> {
  const { last_hidden_state: states } = await sessions.run(params.encoder, { input_features: toOrt(sessions.api, params.features) }, ['last_hidden_state']);
  const writer = new Writer(sessions, params.decoder, states!);
  let language: number | undefined;
  const at = params.prompt.indexOf(-1);
  if (at >= 0) {
    // The language is what the model would write after the first token.
    const row = await writer.step(params.prompt.slice(0, at));
    language = params.languages.reduce((best, id) => (row[id]! > row[best]! ? id : best));
  }
  const prompt = [...params.previous, ...params.prompt.map((token) => (token === -1 ? language! : token))];
  const { compressionRatio, logProbability, noSpeech } = params.thresholds;
  const rng = createRng(params.seed);
  for (const [i, temperature] of params.temperatures.entries()) {
    writer.reset();
    const text = await write(writer, prompt, params, temperature, rng, signal);
    const unlikely = logProbability !== undefined && text.averageLogProbability < logProbability;
    const silent = unlikely && noSpeech !== undefined && text.noSpeechProbability !== undefined && text.noSpeechProbability > noSpeech;
    const poor = unlikely || (compressionRatio !== undefined && text.compressionRatio > compressionRatio);
    if (silent || !poor || i === params.temperatures.length - 1) return { ...text, temperature, language, silent };
  }
  throw new RangeError('no temperatures');
}

async function write(writer: Writer, prompt: readonly number[], params: TranscribeParams, temperature: number, rng: Rng, signal: AbortSignal): Promise<Omit<TranscribeResult, 'language' | 'silent' | 'temperature'>> {
  const { suppress, suppressFirst, endToken, noSpeechToken } = params;
  const rules = params.times && { ...params.times, endToken };
  const tokens: number[] = [];
  let next = prompt;
  let [total, ended] = [0, false];
  let noSpeechProbability: number | undefined;
  while (tokens.length < params.maxNewTokens && !ended) {
    signal.throwIfAborted();
    const row = await writer.step(next, next === prompt && noSpeechToken !== undefined ? (logits) => void (noSpeechProbability = Math.exp(logProbabilityOf(logits, noSpeechToken))) : undefined, params.previous.length);
    for (const id of tokens.length === 0 ? [...suppress, ...suppressFirst] : suppress) if (id < row.length) row[id] = -Infinity;
    if (rules) applyTimestampRules(row, tokens, rules);
    const token = temperature === 0 ? likeliest(row) : drawn(row, temperature, rng);
    total += logProbabilityOf(row, token);
    ended = token === endToken;
    if (!ended) tokens.push(token);
    next = [token];
    // A message (a cancellation among them) is read between steps only.
    await new Promise(setImmediate);
  }
  const all = ended ? [...tokens, endToken] : tokens;
  return { tokens, ended, averageLogProbability: total / all.length, compressionRatio: compressionRatioOf(all), noSpeechProbability };
}

function likeliest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}

function drawn(row: Float32Array, temperature: number, rng: Rng): number {
  const top = row[likeliest(row)]!;
  const weights = Float64Array.from(row, (value) => Math.exp((value - top) / temperature));
  let rest = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  // what rounding leaves goes to the likeliest
  const found = weights.findIndex((weight) => weight > 0 && (rest -= weight) <= 0);
  return found < 0 ? likeliest(row) : found;
}

function logProbabilityOf(row: Float32Array, token: number): number {
  const top = row[likeliest(row)]!;
  let sum = 0;
  for (const value of row) sum += Math.exp(value - top);
  return row[token]! - top - Math.log(sum);
}

/** Of the tokens as transformers takes them: in two bytes each, or three of vocabularies that need them. */
function compressionRatioOf(tokens: readonly number[]): number {
  const width = tokens.some((token) => token >= 2 ** 16) ? 3 : 2;
  const bytes = Uint8Array.from({ length: tokens.length * width }, (_, i) => (tokens[Math.floor(i / width)]! >> (8 * (i % width))) & 255);
  return bytes.length / deflateSync(bytes).length;
}

class Writer {
  readonly #sessions: SessionTable;
  readonly #handle: number;
  readonly #states: OrtTensor;
  readonly #past: readonly SessionValue[];
  #cache: Record<string, OrtTensor> | undefined;

  constructor(sessions: SessionTable, handle: number, states: OrtTensor) {
    this.#sessions = sessions;
    this.#handle = handle;
    this.#states = states;
    this.#past = sessionInfo(sessions.get(handle)).inputs.filter(({ name }) => name.startsWith('past_key_values.'));
  }

  reset(): void {
    this.#cache = undefined;
  }

  /** Logits (vocabulary) after these tokens; the caller's to change. `look` is shown those after the token at `place`, before. */
  async step(tokens: readonly number[], look?: (logits: Float32Array) => void, place = 0): Promise<Float32Array> {
    const { Tensor } = this.#sessions.api;
    const first = this.#cache === undefined;
    const feeds: Record<string, OrtTensor> = {
      input_ids: new Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      encoder_hidden_states: this.#states,
      use_cache_branch: new Tensor('bool', Uint8Array.of(first ? 0 : 1), [1]),
      ...(this.#cache ?? this.#empty()),
    };
    // What is cached of the encoder never changes: only the first step gives it.
    const wanted = this.#past.map(({ name }) => name).filter((name) => first || !name.includes('.encoder.'));
    const fetched = await this.#sessions.run(this.#handle, feeds, ['logits', ...wanted.map(presentOf)]);
    this.#cache = { ...this.#cache, ...Object.fromEntries(wanted.map((name) => [name, fetched[presentOf(name)]!])) };
    const rows = logitRows(fetched['logits']!);
    look?.(rows.row(place));
    return Float32Array.from(rows.row(rows.count - 1));
  }

  #empty(): Record<string, OrtTensor> {
    const { Tensor } = this.#sessions.api;
    return Object.fromEntries(this.#past.map(({ name, dtype, shape = [] }) => {
      const [, heads, , width] = shape;
      if ((dtype !== 'float32' && dtype !== 'float16') || typeof heads !== 'number' || typeof width !== 'number') throw new PenjingError('E_LAYOUT', `${name} is ${dtype ?? 'no tensor'} [${shape.join(', ')}], not a cache of (batch, heads, length, width)`);
      const none = dtype === 'float32' ? new Float32Array() : new Uint16Array();
      return [name, new Tensor(dtype as 'float32', none as Float32Array, [1, heads, 0, width])];
    }));
  }
}

function presentOf(name: string): string {
  return name.replace('past_key_values', 'present');
}
