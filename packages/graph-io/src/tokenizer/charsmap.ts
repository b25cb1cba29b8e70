/** The replacements of a SentencePiece normalizer: a double array (darts-clone) over UTF-8, and the texts it points to. */
import { PenjingError } from '@penjing/core';
import { tokenizerLimits } from '../limits.js';

/** Longest match first, from left to right; what matches nothing stays. */
export type Charsmap = (text: string) => string;

/**
 * `charsmap` is a 32-bit length, a double array of that many bytes, and replacements that end in a zero byte each. Throws
 * `E_TOKENIZER` when its parts do not fit, `E_LIMIT` for a replacement longer than any; a damaged array makes wrong
 * replacements, never endless ones.
 */
export function readCharsmap(charsmap: Uint8Array): Charsmap {
  const view = new DataView(charsmap.buffer, charsmap.byteOffset, charsmap.byteLength);
  const size = charsmap.length >= 4 ? view.getUint32(0, true) : 0;
  if (size === 0 || size % 4 !== 0 || size > charsmap.length - 4) {
    throw new PenjingError('E_TOKENIZER', `the normalizer of the tokenizer is damaged: ${charsmap.length} bytes cannot hold a table of ${size}`);
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const texts = charsmap.subarray(4 + size);
  checkReplacements(texts);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  const replacement = (at: number): Uint8Array => {
    const end = texts.indexOf(0, at);
    return texts.subarray(at, end < 0 ? texts.length : end);
  };

  return (text) => {
    const bytes = encoder.encode(text);
    const parts: Uint8Array[] = [];
    let from = 0;
    for (let at = 0; at < bytes.length; ) {
      const match = longest(units, bytes, at);
      if (match) {
        parts.push(bytes.subarray(from, at), replacement(match.value));
        from = at + match.length;
      }
      at += match?.length ?? characterLength(bytes[at]!);
    }
    if (parts.length === 0) return text;
    parts.push(bytes.subarray(from));
    return decoder.decode(joined(parts));
  };
}

/** A few bytes must not stand for megabytes each. */
function checkReplacements(texts: Uint8Array): void {
  const most = tokenizerLimits.replacementBytes;
  for (let start = 0; start < texts.length; ) {
    const end = texts.indexOf(0, start);
    if ((end < 0 ? texts.length : end) - start > most) throw new PenjingError('E_LIMIT', `a replacement of the tokenizer's normalizer is longer than ${most} bytes`);
    start = end < 0 ? texts.length : end + 1;
  }
}

/** A unit holds a label, whether a value follows, and where its children begin, relative to itself by exclusive or. */
function longest(units: Uint32Array, bytes: Uint8Array, start: number): { value: number; length: number } | undefined {
  const offset = (unit: number): number => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
  let found: { value: number; length: number } | undefined;
  let node = offset(units[0]!);
  for (let i = start; i < bytes.length; i++) {
    node = (node ^ bytes[i]!) >>> 0;
    const unit = units[node];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== bytes[i]) break;
    node = (node ^ offset(unit)) >>> 0;
    const leaf = unit & 0x100 ? units[node] : undefined;
    if (leaf !== undefined) found = { value: leaf & 0x7fffffff, length: i + 1 - start };
  }
  return found;
}

const characterLength = (first: number): number => (first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
