/** Text as the inputs of a model that reads tokens: windows of a long text, or one text with its class. */
import { type DenseTensor, denseOf, type Feeds, PenjingError } from '@penjing/core';
import type { Tokenizer } from '@penjing/runtime';
import { loadRuntime } from '../load-runtime.js';
import { describeShape, type ModelInputs } from './model-inputs.js';

/** Tokens of a window, shorter than the 2,048 of the papers of GPTQ and SparseGPT. */
export const WINDOW_TOKENS = 512;

const TOKENS = 'input_ids';

/** Throws `E_DATA` for a model that reads no tokens. */
export function tokenLength(inputs: ModelInputs): number | undefined {
  const input = inputs.all.find(({ name }) => name === TOKENS);
  if (!input) {
    throw new PenjingError('E_DATA', `the model does not read tokens (${TOKENS}) but ${inputs.all.map(({ name, shape }) => `${name} ${describeShape(shape)}`).join(', ')}: text says nothing to it`, { hint: 'Give arrays (.npz), pictures or sounds, whatever it reads.' });
  }
  const length = input.shape?.at(-1);
  return typeof length === 'number' ? length : undefined;
}

/** At most `count` windows over the whole of the text, at even distances. Throws `E_DATA` for fewer than two tokens. */
export function windows(tokens: readonly number[], count: number, length: number): number[][] {
  const whole = Math.floor(tokens.length / length);
  if (whole === 0) {
    if (tokens.length < 2) throw new PenjingError('E_DATA', `the data has ${tokens.length} tokens: at least two are needed`, { hint: 'Give a longer text.' });
    return [[...tokens]];
  }
  const taken = Math.min(count, whole);
  return Array.from({ length: taken }, (_, i) => {
    const start = Math.floor((i * whole) / taken) * length;
    return tokens.slice(start, start + length);
  });
}

/** Characters that are tokenized for each token of a window: texts have three to five, and a window that comes out short means that all is tokenized. */
const CHARACTERS = 16;

/** Windows of a text. Of a long one only their places are tokenized, which takes seconds per million characters; each starts at a word. */
export function textWindows({ encode }: Pick<Tokenizer, 'encode'>, text: string, count: number, length: number): number[][] {
  const span = length * CHARACTERS;
  if (text.length < 2 * count * span) return windows(encode(text), count, length);
  const found = Array.from({ length: count }, (_, i) => {
    const place = Math.floor((i * text.length) / count);
    // words bring the space before them along
    const start = i === 0 ? 0 : place + Math.max(0, text.slice(place, place + span).search(/\s/));
    return encode(text.slice(start, start + span), { specialTokens: i === 0 });
  });
  return found.every((tokens) => tokens.length > length) ? found.map((tokens) => tokens.slice(0, length)) : windows(encode(text), count, length);
}

/** Tokens with what else such models read: masks of ones, positions, and an empty past. Filled up to a fixed length with a mask of zeros. */
export async function tokenFeeds(inputs: ModelInputs, tokens: readonly number[], fixed: number | undefined): Promise<Feeds> {
  const { randomFeeds } = await loadRuntime();
  const length = fixed ?? tokens.length;
  const dims = { batch_size: 1, sequence_length: length, total_sequence_length: length, past_sequence_length: 0 };
  const feeds: Record<string, DenseTensor> = { ...(randomFeeds(inputs.infos, { dims }) as Record<string, DenseTensor>) };
  const { dtype } = inputs.all.find(({ name }) => name === TOKENS)!;
  const filled = Array.from({ length }, (_, i) => tokens[i] ?? 0);
  feeds[TOKENS] = denseOf(dtype, [1, length], filled);
  const mask = feeds['attention_mask'];
  if (mask && tokens.length < length) feeds['attention_mask'] = denseOf(mask.dtype, mask.shape, filled.map((_, i) => (i < tokens.length ? 1 : 0)));
  return feeds;
}

export function encodeItem(tokenizer: Tokenizer, text: string, length: number): number[] {
  return [...tokenizer.encode(text)].slice(0, length);
}
