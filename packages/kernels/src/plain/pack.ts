/** Codes of 2 and 4 bits, one per byte or packed, first in the low bits. */
import { checkPacked } from '../shared/check.js';

export function pack(bits: 2 | 4, src: Uint8Array | Int8Array, dst: Uint8Array): void {
  checkPacked(bits, src.length, dst);
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  for (let i = 0; i < dst.length; i++) {
    let byte = 0;
    for (let j = 0; j < perByte; j++) byte |= ((src[i * perByte + j] ?? 0) & mask) << (j * bits);
    dst[i] = byte;
  }
}

export function unpack(bits: 2 | 4, signed: boolean, src: Uint8Array, dst: Uint8Array | Int8Array): void {
  checkPacked(bits, dst.length, src);
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const spare = 32 - bits;
  for (let i = 0; i < dst.length; i++) {
    const code = (src[Math.floor(i / perByte)]! >> ((i % perByte) * bits)) & mask;
    dst[i] = signed ? (code << spare) >> spare : code;
  }
}
