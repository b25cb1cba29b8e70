/** Checksums against those of zlib. */
import { crc32 as ofZlib } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { combineCrc32, crc32 } from './crc32.js';

test('is the checksum of zlib, in one go, piece by piece and combined', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 3000 }), (a, b) => {
      const whole = ofZlib(Buffer.concat([a, b]));
      expect(crc32(b, crc32(a))).toBe(whole);
      expect(combineCrc32(crc32(a), crc32(b), b.length)).toBe(whole);
    }),
  );
});

test('combines stretches of more than 4 GiB', () => {
  // Zeros after a stretch: doubling their number by combining must agree with combining all at once.
  let [crc, length] = [ofZlib(new Uint8Array(1 << 20)), 1 << 20];
  const start = ofZlib(Uint8Array.of(1, 2, 3));
  for (; length < 2 ** 36; length *= 2) crc = combineCrc32(crc, crc, length);
  const half = combineCrc32(start, combineCrc32(crc, crc, length), 2 * length);
  expect(combineCrc32(combineCrc32(start, crc, length), crc, length)).toBe(half);
});
