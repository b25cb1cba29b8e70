/**
 * Finds the tensor data in the JSON of a request without parsing it. `JSON.parse` would box every number before anyone
 * knows its datatype, round INT64 beyond 2^53, and overflow the stack of whoever walks a hostile depth of lists.
 */
import { v2Limits } from '../limits.js';
import { parseUniqueJson } from '../safetensors/unique-json.js';
import { refused, tooLarge } from './refused.js';

/** One value of a `data` key. */
export interface DataRange {
  readonly start: number;
  readonly end: number;
  /** A list without lists and texts in it, of which nothing but the end has been looked for. */
  readonly flat: boolean;
  readonly lists: number;
  /** A regular list of n elements has n - 1 however it is nested. */
  readonly commas: () => number;
}

export interface SplitJson {
  /** The parsed object; a `data` key holds the index of its range. */
  readonly value: unknown;
  readonly ranges: readonly DataRange[];
}

const QUOTE = 0x22, BACKSLASH = 0x5c, COMMA = 0x2c, COLON = 0x3a, OPEN_LIST = 0x5b, CLOSE_LIST = 0x5d, OPEN = 0x7b, CLOSE = 0x7d;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a part. Throws `E_REQUEST` for what is no UTF-8. */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw refused(`${what} is not UTF-8`, undefined, cause);
  }
}

/**
 * Parses a request (`list` is `inputs`) or a response (`outputs`) but for `LIST[i].data`. Whatever passes is JSON as a
 * whole once the ranges are: each stands where a value stands. Throws `E_REQUEST` or `E_LIMIT`.
 */
export function splitJson(bytes: Uint8Array, list: 'inputs' | 'outputs'): SplitJson {
  if (bytes.length > v2Limits.jsonBytes) throw tooLarge(`the JSON has ${bytes.length} bytes`, `At most ${v2Limits.jsonBytes} are read; send tensors as binary data.`);
  const ranges = findData(bytes, list);
  const parts: string[] = [];
  let at = 0;
  let size = 0;
  const keep = (end: number): void => {
    if ((size += end - at) > v2Limits.envelopeBytes) throw tooLarge(`the JSON takes more than ${v2Limits.envelopeBytes} bytes without tensor data`, 'Leave out what the protocol does not ask for.');
    parts.push(textOf(bytes.subarray(at, end), 'the request'));
  };
  ranges.forEach((range, i) => {
    keep(range.start);
    parts.push(String(i));
    at = range.end;
  });
  keep(bytes.length);
  try {
    return { value: parseUniqueJson(parts.join(''), v2Limits.nesting), ranges };
  } catch (cause) {
    throw refused(`the body is not a JSON request: ${cause instanceof Error ? cause.message.slice(0, 200) : 'malformed'}`, undefined, cause);
  }
}

function findData(bytes: Uint8Array, list: string): DataRange[] {
  const ranges: DataRange[] = [];
  const kinds = new Uint8Array(v2Limits.nesting + 1);
  let depth = 0;
  let rootKey = '';
  let key: Uint8Array | undefined;
  const closeAfter = finderOf(bytes, CLOSE_LIST);
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes[i]!;
    if (code === QUOTE) {
      const end = endOfString(bytes, i);
      key = bytes.subarray(i, end);
      i = end - 1;
    } else if (code === COLON && key) {
      if (depth === 1) rootKey = nameOf(key);
      else if (depth === 3 && rootKey === list && kinds[1] === OPEN && kinds[2] === OPEN_LIST && kinds[3] === OPEN && nameOf(key) === 'data') {
        const range = valueAt(bytes, skipSpace(bytes, i + 1), closeAfter);
        if (ranges.push(range) > v2Limits.tensors) throw tooLarge(`the JSON holds the data of more than ${v2Limits.tensors} tensors`, `At most ${v2Limits.tensors} are read.`);
        i = range.end - 1;
      }
    } else if (code === OPEN || code === OPEN_LIST) {
      if (++depth > v2Limits.nesting) throw tooLarge(`the JSON is nested deeper than ${v2Limits.nesting} levels`, 'Requests take five.');
      kinds[depth] = code;
    } else if (code === CLOSE || code === CLOSE_LIST) depth--;
  }
  return ranges;
}

/** A key is compared as what it says: it may be written with escapes. */
function nameOf(key: Uint8Array): string {
  if (key.length > 32) return '';
  const text = textOf(key, 'a key');
  try {
    return key.includes(BACKSLASH) ? String(JSON.parse(text)) : text.slice(1, -1);
  } catch {
    return ''; // the parser of the whole will name it
  }
}

/** Where a byte stands next, asked for at places that only grow: each byte is looked at once, however many ask for one that is far away or nowhere. */
function finderOf(bytes: Uint8Array, code: number): (start: number) => number {
  let found: number | undefined;
  return (start) => {
    if (found === undefined || (found >= 0 && found < start)) found = bytes.indexOf(code, start);
    return found;
  };
}

function valueAt(bytes: Uint8Array, start: number, closeAfter: (start: number) => number): DataRange {
  const first = bytes[start];
  let at = start;
  let depth = 0;
  let commas = 0;
  let lists = 0;
  if (first === QUOTE) return { start, end: endOfString(bytes, start), flat: false, lists, commas: () => commas };
  if (first !== OPEN_LIST) {
    while (at < bytes.length && !ENDS[bytes[at]!]) at++;
    return { start, end: at, flat: false, lists, commas: () => commas };
  }
  // Searches for one byte take a tenth of the loop below, and long lists are mostly flat lists of numbers.
  const close = closeAfter(start);
  const inner = bytes.subarray(start + 1, close);
  if (close > 0 && !inner.includes(OPEN_LIST) && !inner.includes(QUOTE) && !inner.includes(OPEN) && !inner.includes(CLOSE)) {
    return { start, end: close + 1, flat: true, lists: 1, commas: () => inner.reduce((sum, code) => (code === COMMA ? sum + 1 : sum), 0) };
  }
  for (; at < bytes.length; at++) {
    const code = bytes[at]!;
    if (code > CLOSE || (code > COMMA && code < OPEN_LIST)) continue; // digits and most letters
    if (code === COMMA) commas++;
    else if (code === QUOTE) at = endOfString(bytes, at) - 1;
    else if (code === OPEN_LIST || code === OPEN) {
      lists++;
      if (++depth > v2Limits.rank) throw tooLarge(`tensor data is nested deeper than ${v2Limits.rank} lists`, `A tensor has 0 to ${v2Limits.rank} dimensions.`);
    } else if ((code === CLOSE_LIST || code === CLOSE) && --depth === 0) break;
  }
  return { start, end: Math.min(at + 1, bytes.length), flat: false, lists, commas: () => commas };
}

const ENDS = Uint8Array.from({ length: 256 }, (_, code) => (code <= 0x20 || code === COMMA || code === CLOSE || code === CLOSE_LIST ? 1 : 0));

function skipSpace(bytes: Uint8Array, at: number): number {
  while (at < bytes.length && bytes[at]! <= 0x20) at++;
  return at;
}

/** One past the closing quote: the next quote that an even number of backslashes stands before. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let from = start + 1; ; ) {
    const quote = bytes.indexOf(QUOTE, from);
    if (quote < 0) return bytes.length;
    let before = quote;
    while (before > start + 1 && bytes[before - 1] === BACKSLASH) before--;
    if ((quote - before) % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}
