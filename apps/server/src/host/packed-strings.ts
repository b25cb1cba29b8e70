/** Strings as bytes, each behind its length: JSON writes six characters for some of one, and V8 ends a text at 2^29 of them. */

/** Before each string: its bytes of UTF-8, or those of UTF-16 as -1 - bytes. */
const LENGTH = 4;

/** Half of a surrogate pair, which UTF-8 cannot say. */
const LONE = /\p{Surrogate}/u;

export function packStrings(strings: readonly string[]): Uint8Array {
  const encodings = strings.map((text) => (LONE.test(text) ? 'utf16le' : 'utf8'));
  const sizes = strings.map((text, i) => Buffer.byteLength(text, encodings[i]));
  const packed = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + LENGTH + size, 0));
  let at = 0;
  strings.forEach((text, i) => {
    packed.writeInt32LE(encodings[i] === 'utf8' ? sizes[i]! : -1 - sizes[i]!, at);
    packed.write(text, at + LENGTH, encodings[i]);
    at += LENGTH + sizes[i]!;
  });
  return packed;
}

export function unpackStrings(bytes: Uint8Array, count: number): string[] {
  const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return Array.from({ length: count }, () => {
    const length = packed.readInt32LE(at);
    const start = at + LENGTH;
    at = start + (length < 0 ? -1 - length : length);
    return packed.toString(length < 0 ? 'utf16le' : 'utf8', start, at);
  });
}
