/**
 * Strings of an ONNX file. They should be UTF-8, but no runtime checks it, so bytes that are not become lone
 * surrogates U+DC80..U+DCFF (Python's `surrogateescape`) and are written back as the same bytes.
 */
import { encodeText } from '@penjing/core';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const escaped = /[\udc80-\udcff]/u; // with the u flag only lone surrogates match

export function decodeName(bytes: Uint8Array): string {
  const ascii = decodeAscii(bytes);
  if (ascii !== undefined) return ascii;
  try {
    return strict.decode(bytes);
  } catch {
    return decodeEscaping(bytes);
  }
}

export function encodeName(text: string): Uint8Array {
  return escaped.test(text) ? encodeEscaped(text) : encodeText(text);
}

/** Short ASCII is almost everything; a TextDecoder call costs more than this loop. */
function decodeAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > 64) return undefined;
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! >= 0x80) return undefined;
  return String.fromCharCode.apply(null, bytes as unknown as number[]); // flat at once, unlike a text that grows
}

/** Valid sequences are decoded one by one; a byte that starts none is escaped. */
function decodeEscaping(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes[i]!);
    let piece: string | undefined;
    if (length > 0 && i + length <= bytes.length) {
      try {
        piece = strict.decode(bytes.subarray(i, i + length));
      } catch {
        piece = undefined;
      }
    }
    text += piece ?? String.fromCharCode(0xdc00 + bytes[i]!);
    i += piece === undefined ? 1 : length;
  }
  return text;
}

function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function encodeEscaped(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encodeText(char));
  }
  return Uint8Array.from(bytes);
}
