/** Codes of 2 and 4 bits, one per byte or packed, first in the low bits. */

export function pack(bits: i32, src: usize, dst: usize, count: i32): void {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  let i = 0;
  if (bits == 4) {
    for (; i + 32 <= count; i += 32, dst += 16) {
      const a = v128.load(src + i);
      const b = v128.load(src + i, 16);
      v128.store(dst, joinPairs(a, b, 0x0f, 4));
    }
  } else {
    for (; i + 64 <= count; i += 64, dst += 16) {
      const a = joinPairs(v128.load(src + i), v128.load(src + i, 16), 0x03, 6);
      const b = joinPairs(v128.load(src + i, 32), v128.load(src + i, 48), 0x03, 6);
      v128.store(dst, joinPairs(a, b, 0x0f, 4));
    }
  }
  for (; i < count; i += perByte, dst++) {
    let byte = 0;
    for (let j = 0; j < perByte && i + j < count; j++) byte |= (<i32>load<u8>(src + i + j) & mask) << (j * bits);
    store<u8>(dst, byte);
  }
}

export function unpack(bits: i32, signed: bool, src: usize, dst: usize, count: i32): void {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const sign = signed ? 1 << (bits - 1) : 0; // (x ^ sign) - sign extends the sign
  const signVector = i8x16.splat(<i8>sign);
  let i = 0;
  if (bits == 4) {
    for (; i + 32 <= count; i += 32, src += 16) {
      const x = v128.load(src);
      const low = extend(v128.and(x, i8x16.splat(0x0f)), signVector);
      const high = extend(v128.and(i16x8.shr_u(x, 4), i8x16.splat(0x0f)), signVector);
      storePairs(dst + i, low, high);
    }
  } else {
    for (; i + 64 <= count; i += 64, src += 16) {
      const x = v128.load(src);
      const a = extend(v128.and(x, i8x16.splat(0x03)), signVector);
      const b = extend(v128.and(i16x8.shr_u(x, 2), i8x16.splat(0x03)), signVector);
      const c = extend(v128.and(i16x8.shr_u(x, 4), i8x16.splat(0x03)), signVector);
      const d = extend(v128.and(i16x8.shr_u(x, 6), i8x16.splat(0x03)), signVector);
      // (a, c) and (b, d) by pairs, then those two by pairs, keeps the order a b c d.
      storePairs(dst + i, low8(a, c), low8(b, d));
      storePairs(dst + i + 32, high8(a, c), high8(b, d));
    }
  }
  for (; i < count; i += perByte, src++) {
    const byte = <i32>load<u8>(src);
    for (let j = 0; j < perByte && i + j < count; j++) {
      store<u8>(dst + i + j, (((byte >> (j * bits)) & mask) ^ sign) - sign);
    }
  }
}

/** Neighbouring bytes joined to one: the second moves down from its byte to just above the first. */
// @ts-ignore: decorator
@inline
function joinPairs(a: v128, b: v128, mask: i8, shift: i32): v128 {
  return i8x16.narrow_i16x8_u(joinHalf(a, mask, shift), joinHalf(b, mask, shift));
}

// @ts-ignore: decorator
@inline
function joinHalf(x: v128, mask: i8, shift: i32): v128 {
  const codes = v128.and(x, i8x16.splat(mask));
  return v128.and(v128.or(codes, i16x8.shr_u(codes, shift)), i16x8.splat(0x00ff));
}

// @ts-ignore: decorator
@inline
function extend(x: v128, sign: v128): v128 {
  return i8x16.sub(v128.xor(x, sign), sign);
}

// @ts-ignore: decorator
@inline
function low8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function high8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// @ts-ignore: decorator
@inline
function storePairs(at: usize, a: v128, b: v128): void {
  v128.store(at, low8(a, b));
  v128.store(at, high8(a, b), 16);
}
