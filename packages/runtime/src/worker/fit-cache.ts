/** Finds the steps of a cache of bytes: how large keys and values become is seen on a text. */
import { PenjingError } from '@penjing/core';
import type { DecoderForm } from '../generate/generation-form.js';
import { CACHE_STEPS } from '../generate/int8-cache.js';
import { partnerOf } from '../generate/key-rotation.js';
import { CacheRows } from './cache-rows.js';
import { FormRunner } from './form-runner.js';
import type { SessionTable } from './session-table.js';
import { positionsOfForm } from './token-model.js';
import type { CallContext } from './wire-types.js';

export interface FitCacheParams {
  readonly handle: number;
  readonly form: DecoderForm;
  readonly tokens: ArrayLike<number>;
}

/** The largest byte; numbers beyond are cut to it. */
const LARGEST = 127;
/** A channel may become so many times as large as on the text before anything is cut. */
const HEADROOM = 1.5;
/** What a step is worth at first: numbers up to 32, and a sixteenth at the finest. */
const FIRST_STEP = 0.25;
/** A channel that was cut may be any size. */
const COARSER = 16;
/** Channels whose numbers fill fewer steps than this were measured too coarsely to tell their size. */
const FEWEST_STEPS = 32;
const MOST_PASSES = 8;
/** A channel that is always 0. */
const SMALLEST_STEP = 1e-6;

/**
 * Reads the tokens until every channel (of keys that are rotated, every pair) fills its bytes up to the headroom, three times as a rule: steps that are too coarse or too fine are seen by what they leave in the cache, and change what the layers above see. From then on every run of the
 * session is fed the steps. Both channels of a pair have one step, as far as either may turn: slow pairs swap thousands of tokens after the text. Throws `E_VALUE` for a model whose keys or values are not finite, or that has none of the tokens.
 */
export async function fitCache(sessions: SessionTable, { handle, form, tokens: text }: FitCacheParams, { signal }: CallContext<never>): Promise<void> {
  const runner = new FormRunner(sessions, handle, form);
  const positions = positionsOfForm(form);
  // a tokenizer may have more tokens than its model
  const tokens = Array.from(text).filter((token) => token < form.logits.vocabSize);
  if (tokens.length === 0) throw new PenjingError('E_VALUE', `none of the ${text.length} tokens that the steps of the cache are found on is a word of this model, which has ${form.logits.vocabSize}`, { hint: 'Leave the cache as the model has it.' });
  let steps = new Float32Array(form.steps ?? 0).fill(FIRST_STEP);
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    signal.throwIfAborted();
    sessions.hold(handle, { [CACHE_STEPS]: new sessions.api.Tensor('float32', steps, [steps.length]) });
    const rows = new CacheRows(sessions.api, form);
    rows.add(undefined, tokens.length);
    for (let at = 0, next; at < tokens.length; at = next) {
      next = Math.min(tokens.length, at + positions(at));
      await runner.forward(rows, [tokens.slice(at, next)]);
    }
    const { single, turned } = rows.peaks(0);
    if (turned.every((peak, i) => (peak >= FEWEST_STEPS || steps[i]! <= SMALLEST_STEP) && peak < LARGEST)) return;
    const cut = cutPairs(form, single);
    steps = steps.map((step, i) => Math.max(SMALLEST_STEP, cut[i] ? step * COARSER : (step * HEADROOM * Math.max(turned[i]!, 0.5)) / LARGEST));
  }
  throw new PenjingError('E_VALUE', 'keys or values of this model have no size that bytes could hold', { hint: 'Leave the cache as the model has it.' });
}

/** Channels that were cut, and those that turn into them: how long their pair is was not seen. */
function cutPairs({ layers }: DecoderForm, peaks: Float32Array): readonly boolean[] {
  let start = 0;
  return layers.flatMap(({ kvHeads, headDim, rotation }) =>
    [rotation, undefined].flatMap((turns) =>
      Array.from({ length: kvHeads }, () => {
        const head = peaks.subarray(start, (start += headDim));
        return Array.from(head, (peak, channel) => Math.max(peak, head[partnerOf(channel, turns)]!) >= LARGEST);
      }).flat(),
    ),
  );
}
