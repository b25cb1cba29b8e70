/** Scores token windows with one language model or two side by side; logits never leave the worker. */
import { PenjingError } from '@penjing/core';
import { addPosition, openWindow, type ScoreSums, scoreSums } from '../compare/score-sums.js';
import type { TokenWindow } from '../compare/text-windows.js';
import type { DecoderForm } from '../generate/generation-form.js';
import type { LogitRows } from './logits.js';
import { positionsPerRun } from './positions.js';
import type { CallContext } from './wire-types.js';
import type { SessionTable } from './session-table.js';
import { type TokenModel, tokenModel } from './token-model.js';

export interface ScoreParams {
  /** The reference. */
  readonly a: number;
  /** Of the reference, where it was opened to generate. */
  readonly form?: DecoderForm | undefined;
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
  { a, form, b, windows }: ScoreParams,
  { signal, emit }: CallContext<ScoreEvent>,
): Promise<ScoreSums> {
  const left = tokenModel(sessions, a, form);
  const right = b === undefined ? undefined : tokenModel(sessions, b, undefined);
  const sums = scoreSums();
  for (const { tokens: window, from } of windows) {
    openWindow(sums);
    left.decoder.reset();
    right?.decoder.reset();
    // The last token is only a target: nothing follows it.
    const positions = window.length - 1;
    for (let at = 0, next; at < positions; at = next) {
      signal.throwIfAborted();
      next = Math.min(positions, at + stepOf([left, right], at, form));
      const tokens = window.subarray(at, next);
      // The first positions of a window that overlaps the one before are only read.
      const skip = Math.min(tokens.length, Math.max(0, from - 1 - at));
      const wanted = tokens.length - skip;
      const rowsA = await left.decoder.forward(tokens, Math.max(1, wanted));
      const rowsB = right ? await right.decoder.forward(tokens, Math.max(1, wanted)) : undefined;
      checkVocabularies(rowsA, rowsB);
      for (let i = 0; i < wanted; i++) addPosition(sums, rowsA.row(i), rowsB?.row(i), { target: window[at + skip + i + 1]!, before: at + skip + i + 1 });
      if (wanted > 0) emit({ tokens: wanted });
    }
  }
  return sums;
}

/** Without a cache a window is read at once. */
function stepOf(models: readonly (TokenModel | undefined)[], at: number, form: DecoderForm | undefined): number {
  const steps = models.flatMap((model) => (model ? [model.positionsPerRun(at)] : []));
  return steps.includes(Infinity) ? Infinity : Math.min(...steps, form ? positionsPerRun(form.logits.vocabSize) : Infinity);
}

/** Throws `E_SHAPE` for models that tell different numbers of tokens apart. */
export function checkVocabularies(a: LogitRows, b: LogitRows | undefined): void {
  if (!b || b.vocabSize === a.vocabSize) return;
  throw new PenjingError('E_SHAPE', `the models have vocabularies of ${a.vocabSize} and ${b.vocabSize} tokens`, {
    hint: 'Compare models with the same tokenizer.',
  });
}
