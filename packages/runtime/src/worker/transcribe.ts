/** Writes what an encoder heard, token by token: states and caches of both graphs stay in this thread. */
import { PenjingError } from '@penjing/core';
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
}

export interface TranscribeResult {
  /** Without the prompt and the token that ended the text. */
  readonly tokens: number[];
  /** What stood at -1. */
  readonly language: number | undefined;
  readonly ended: boolean;
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
    writer.reset();
  }
  let next: readonly number[] = params.prompt.map((token) => (token === -1 ? language! : token));
  const tokens: number[] = [];
  while (tokens.length < params.maxNewTokens) {
    signal.throwIfAborted();
    const row = await writer.step(next);
    const banned = tokens.length === 0 ? [...params.suppress, ...params.suppressFirst] : params.suppress;
    const token = likeliest(row, banned);
    if (token === params.endToken) return { tokens, language, ended: true };
    tokens.push(token);
    next = [token];
    // A message (a cancellation among them) is read between steps only.
    await new Promise(setImmediate);
  }
  return { tokens, language, ended: false };
}

function likeliest(row: Float32Array, banned: readonly number[]): number {
  for (const id of banned) if (id < row.length) row[id] = -Infinity;
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
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

  /** Logits (vocabulary) after these tokens; the caller's to change. */
  async step(tokens: readonly number[]): Promise<Float32Array> {
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
