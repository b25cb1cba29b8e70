/** Scores token windows with one language model or two side by side; logits never leave the worker. */
import { PenjingError } from '@penjing/core';
import { addPosition, openWindow, type ScoreSums, scoreSums } from '../compare/score-sums.js';
import type { TokenWindow } from '../compare/text-windows.js';
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
  /** Each starts from an empty cache. */
  readonly windows: readonly TokenWindow[];
}

/** Tokens predicted since the last event. */
export interface ScoreEvent {
  readonly tokens: number;
}

export async function score(
  sessions: SessionTable,
  { a, b, windows }: ScoreParams,
  { signal, emit }: CallContext<ScoreEvent>,
): Promise<ScoreSums> {
  const left = decoderFor(sessions, a);
  const right = b === undefined ? undefined : decoderFor(sessions, b);
  const sums = scoreSums();
  for (const { tokens: window, from } of windows) {
    openWindow(sums);
    left.reset();
    right?.reset();
    const cached = left.layout.cache.length > 0 && (!right || right.layout.cache.length > 0);
    const step = cached ? positionsPerRun(left.layout.vocabSize) : window.length;
    // The last token is only a target: nothing follows it.
    const positions = window.length - 1;
    for (let at = 0; at < positions; at += step) {
      signal.throwIfAborted();
      const tokens = window.subarray(at, Math.min(positions, at + step));
      // The first positions of a window that overlaps the one before are only read.
      const skip = Math.min(tokens.length, Math.max(0, from - 1 - at));
      const wanted = tokens.length - skip;
      const rowsA = await left.forward(tokens, Math.max(1, wanted));
      const rowsB = right ? await right.forward(tokens, Math.max(1, wanted)) : undefined;
      checkVocabularies(rowsA, rowsB);
      for (let i = 0; i < wanted; i++) addPosition(sums, rowsA.row(i), rowsB?.row(i), { target: window[at + skip + i + 1]!, before: at + skip + i + 1 });
      if (wanted > 0) emit({ tokens: wanted });
    }
  }
  return sums;
}

/** Throws `E_SHAPE` for models that tell different numbers of tokens apart. */
export function checkVocabularies(a: LogitRows, b: LogitRows | undefined): void {
  if (!b || b.vocabSize === a.vocabSize) return;
  throw new PenjingError('E_SHAPE', `the models have vocabularies of ${a.vocabSize} and ${b.vocabSize} tokens`, {
    hint: 'Compare models with the same tokenizer.',
  });
}

function decoderFor(sessions: SessionTable, handle: number): Decoder {
  const { inputs, outputs } = sessionInfo(sessions.get(handle));
  return new Decoder(sessions, handle, decoderLayout(inputs, outputs));
}
