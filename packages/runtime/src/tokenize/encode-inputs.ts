/** Texts and pairs of texts as encoders read them: with the template of special tokens, types, and cut where that is asked for. */
import { PenjingError } from '@penjing/core';

/** A text, or two that are read together: a question and a passage, a premise and a hypothesis. */
export type TextInput = string | { readonly text: string; readonly pair: string };

export interface EncodeInputsOptions {
  /** Most tokens of an input, special ones included. */
  readonly maxLength?: number | undefined;
  /** Cuts longer inputs instead of refusing them: of a pair the longer text first, at the side that the tokenizer's configuration says. */
  readonly truncate?: boolean | undefined;
  /** What messages call an input; `text 3` when absent. */
  readonly nameOf?: (index: number) => string;
}

export interface EncodedInput {
  readonly ids: readonly number[];
  /** Of each token: 0 in the first text, 1 in the second, as the template has it. */
  readonly types: readonly number[];
  /** Of each token: its place among the tokens of the first text; -1 in the second, and for those that the template adds. */
  readonly places: readonly number[];
  /** Tokens of the first text as it was given, those that were cut included. */
  readonly tokens: readonly string[];
  /** The same two of the second text; all -1 and none without one. */
  readonly pairPlaces: readonly number[];
  readonly pairTokens: readonly string[];
}

/** What the template makes of tokens: it puts them between others and does not look at them. */
export type PostProcessor = (first: readonly string[], second: readonly string[] | null, add: boolean) => { readonly tokens: readonly string[]; readonly tokens_pair?: readonly string[] | null; readonly token_type_ids?: readonly number[] };

export interface InputEncoder {
  readonly post_processor: PostProcessor | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  token_to_id(token: string): number | undefined;
}

/** Throws `E_INPUT` for what is no text and for a text that is too long. */
export function encodeInput(library: InputEncoder, input: TextInput, side: 'left' | 'right', index: number, { maxLength = Infinity, truncate = false, nameOf = (i) => `text ${i}` }: EncodeInputsOptions): EncodedInput {
  const [text, pair] = typeof input === 'object' && input !== null ? [input.text, input.pair] : [input];
  if (typeof text !== 'string' || (pair !== undefined && typeof pair !== 'string')) throw new PenjingError('E_INPUT', `${nameOf(index)} is no text`, { hint: 'Give a string, or { text, pair } with two of them.' });
  const first = library.encode(text, { add_special_tokens: false });
  const second = pair === undefined ? undefined : library.encode(pair, { add_special_tokens: false });
  const [a, b] = [first.ids.length, second?.ids.length ?? 0];
  const added = withTemplate(library, 0, second && 0).tokens.length;
  const length = a + b + added;
  if (length <= maxLength) return laidOut(library, first, second, [0, a], [0, b]);
  if (!truncate || maxLength <= added) {
    throw new PenjingError('E_INPUT', `${nameOf(index)} has ${length} tokens, and at most ${maxLength} are read`, { hint: maxLength <= added ? `The template alone takes ${added}.` : 'Cut it, or ask for truncation (`truncate: true`, --truncate).', details: { index, length, maxLength } });
  }
  const kept = shortened(a, b, maxLength - added);
  const span = (whole: number, part: number): [number, number] => (side === 'left' ? [whole - part, whole] : [0, part]);
  return laidOut(library, first, second, span(a, kept[0]), span(b, kept[1]));
}

/** The strategy `longest_first` of tokenizers: both are cut to the same length unless one is shorter anyway. */
function shortened(a: number, b: number, target: number): [number, number] {
  const short = Math.min(a, b);
  const half = Math.floor(target / 2);
  if (short <= half) return a <= b ? [short, target - short] : [target - short, short];
  return a <= b ? [half, target - half] : [target - half, half];
}

interface Encoded {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
}

function laidOut(library: InputEncoder, first: Encoded, second: Encoded | undefined, [from, to]: [number, number], [pairFrom, pairTo]: [number, number]): EncodedInput {
  const { tokens, types } = withTemplate(library, to - from, second && pairTo - pairFrom);
  const ids: number[] = [];
  const [places, pairPlaces]: [number[], number[]] = [[], []];
  for (const token of tokens) {
    const [which, place] = placeOf(token);
    if (which === 'a') ids.push(first.ids[from + place]!);
    else if (which === 'b') ids.push(second!.ids[pairFrom + place]!);
    else ids.push(library.token_to_id(token) ?? unknown(token));
    places.push(which === 'a' ? from + place : -1);
    pairPlaces.push(which === 'b' ? pairFrom + place : -1);
  }
  return { ids, types, places, tokens: first.tokens, pairPlaces, pairTokens: second?.tokens ?? [] };
}

/** Marks stand for the tokens of the texts, so that those of the template are told from them. */
function withTemplate({ post_processor: process }: InputEncoder, first: number, second: number | undefined): { readonly tokens: readonly string[]; readonly types: readonly number[] } {
  const marks = (which: string, count: number): string[] => Array.from({ length: count }, (_, i) => `\0${which}${i}`);
  const [a, b] = [marks('a', first), second === undefined ? null : marks('b', second)];
  const made = process?.(a, b, true);
  // Some templates are none: they hand the texts on as they are.
  const whole = made && !made.tokens_pair ? made.tokens : [...(made?.tokens ?? a), ...(made?.tokens_pair ?? b ?? [])];
  const types = made?.token_type_ids;
  return { tokens: whole, types: types?.length === whole.length ? types : whole.map(() => 0) };
}

function placeOf(token: string): readonly ['a' | 'b' | undefined, number] {
  return token.startsWith('\0a') || token.startsWith('\0b') ? [token[1] as 'a' | 'b', Number(token.slice(2))] : [undefined, 0];
}

function unknown(token: string): never {
  throw new PenjingError('E_TOKENIZER', `tokenizer.json: the template adds ${token}, which is in no vocabulary`);
}
