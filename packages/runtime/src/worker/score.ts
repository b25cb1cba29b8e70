/** Scores token windows with one language model or two side by side; logits never leave the worker. */
import { PenjingError } from '@penjing/core';
import { type ErrorSums, addError, errorSums } from '../compare/difference.js';
import { argmax } from '../generate/sampler.js';
import { decoderLayout } from './decoder-layout.js';
import { Decoder } from './decoder.js';
import type { LogitRows } from './logits.js';
import { positionsPerRun } from './positions.js';
import type { CallContext } from './wire-types.js';
import { type SessionTable, sessionInfo } from './session-table.js';

export interface ScoreParams {
  /** The reference. */
  readonly a: number;
  readonly b?: number;
  /** Token ids; each window starts from an empty cache and predicts all its tokens but the first. */
  readonly windows: readonly Int32Array[];
}

/** Bins of the KL of one token: powers of ten from 10^lowest; the first and the last take what is beyond. */
export const klBins = { lowest: -7, perDecade: 4, count: 36 } as const;

/** Tokens predicted since the last event. */
export interface ScoreEvent {
  readonly tokens: number;
}

export interface ScoreResult {
  /** Predicted tokens. */
  readonly tokens: number;
  /** Sums of -ln p(token). */
  readonly nllA: number;
  readonly nllB: number;
  /** Sum of KL(a ‖ b), nats. */
  readonly kl: number;
  /** Positions by their KL, see `klBins`. */
  readonly klCounts: number[];
  /** Positions where both find the same token likeliest. */
  readonly agreed: number;
  /** Logits of b against those of a. */
  readonly logits: ErrorSums;
}

export async function score(
  sessions: SessionTable,
  { a, b, windows }: ScoreParams,
  { signal, emit }: CallContext<ScoreEvent>,
): Promise<ScoreResult> {
  const left = decoderFor(sessions, a);
  const right = b === undefined ? undefined : decoderFor(sessions, b);
  const sums = { tokens: 0, nllA: 0, nllB: 0, kl: 0, klCounts: new Array<number>(klBins.count).fill(0), agreed: 0, logits: errorSums() };
  for (const window of windows) {
    left.reset();
    right?.reset();
    const cached = left.layout.cache.length > 0 && (!right || right.layout.cache.length > 0);
    const step = cached ? positionsPerRun(left.layout.vocabSize) : window.length;
    // The last token is only a target: nothing follows it.
    const positions = window.length - 1;
    for (let at = 0; at < positions; at += step) {
      signal.throwIfAborted();
      const tokens = window.subarray(at, Math.min(positions, at + step));
      const rowsA = await left.forward(tokens);
      const rowsB = right ? await right.forward(tokens) : undefined;
      if (rowsB && rowsB.vocabSize !== rowsA.vocabSize) {
        throw new PenjingError('E_SHAPE', `the models have vocabularies of ${rowsA.vocabSize} and ${rowsB.vocabSize} tokens`, {
          hint: 'Compare models with the same tokenizer.',
        });
      }
      for (let i = 0; i < tokens.length; i++) addPosition(sums, rowsA, rowsB, i, window[at + i + 1]!);
      emit({ tokens: tokens.length });
    }
  }
  return sums;
}

function decoderFor(sessions: SessionTable, handle: number): Decoder {
  const { inputs, outputs } = sessionInfo(sessions.get(handle));
  return new Decoder(sessions, handle, decoderLayout(inputs, outputs));
}

type Sums = { -readonly [K in keyof ScoreResult]: ScoreResult[K] };

function addPosition(sums: Sums, rowsA: LogitRows, rowsB: LogitRows | undefined, index: number, target: number): void {
  const a = rowsA.row(index);
  const topA = argmax(a);
  sums.tokens++;
  if (rowsB) return addPair(sums, a, topA, rowsB.row(index), target);
  let total = 0;
  for (let i = 0; i < a.length; i++) total += Math.exp(a[i]! - a[topA]!);
  sums.nllA += a[topA]! + Math.log(total) - a[target]!;
}

/** All figures of one position in one pass, since vocabularies are large: KL is Σ p·(a − b) - ln Z_a + ln Z_b. */
function addPair(sums: Sums, a: Float32Array, topA: number, b: Float32Array, target: number): void {
  const topB = argmax(b);
  const [maxA, maxB] = [a[topA]!, b[topB]!];
  let [totalA, totalB, cross] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    const weight = Math.exp(x - maxA);
    totalA += weight;
    totalB += Math.exp(y - maxB);
    // 0 · ln 0 is 0: a token that a rules out says nothing about b.
    if (weight > 0) cross += weight * (x - y);
    addError(sums.logits, x, y);
  }
  const [lnA, lnB] = [maxA + Math.log(totalA), maxB + Math.log(totalB)];
  const kl = cross / totalA - lnA + lnB;
  sums.nllA += lnA - a[target]!;
  sums.nllB += lnB - b[target]!;
  // Rounding can leave a few 1e-9 below zero.
  sums.kl += kl < 0 ? 0 : kl;
  const bin = Math.floor((Math.log10(Math.max(kl, Number.MIN_VALUE)) - klBins.lowest) * klBins.perDecade);
  sums.klCounts[Math.min(klBins.count - 1, Math.max(0, bin))]!++;
  if (topA === topB) sums.agreed++;
}
