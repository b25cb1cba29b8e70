/** CRC-32 as zip, gzip and PNG use it (polynomial 0xedb88320, reflected); `./node` has a faster one. */

const POLYNOMIAL = 0xedb88320;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** Of `bytes` after others that have the checksum `before`. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Of two stretches one after the other, from their checksums and the length of the second: the first times x^(8 · length), plus the second. */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  let power = ONE;
  for (let rest = secondLength, bit = 3; rest > 0; rest = Math.floor(rest / 2), bit++) {
    if (rest % 2 === 1) power = multiply(squares[bit % 32]!, power);
  }
  return (multiply(power, first) ^ second) >>> 0;
}

/** Polynomials over GF(2) modulo the one of the checksum, the coefficient of x^0 in the highest bit. */
const ONE = 0x80000000;

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 32; bit++) {
    if ((a << bit) & ONE) product ^= b;
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return product;
}

/** x^(2^n); the 32nd is the first again. */
const squares = [ONE >>> 1];
for (let n = 1; n < 32; n++) squares.push(multiply(squares[n - 1]!, squares[n - 1]!));
