/** The range of a block, found on the raw bits: the sign-magnitude forms order as integers, two comparisons per vector. */

/**
 * Largest magnitude among the positive (element 0) and the negative (element 1) values of `count` (a multiple of 8, at least 8)
 * source elements, as raw bits in the 32-bit lanes 0 and 2. NaN is larger than infinity.
 */
// @ts-ignore: decorator
@inline
export function scanRange<T>(src: usize, count: i32): v128 {
  let signed = v128.load(src); // greatest as signed: the largest positive value
  let unsigned = signed; // greatest as unsigned: the most negative value
  const end = src + <usize>count * sizeof<T>();
  for (let at = src + 16; at < end; at += 16) {
    const x = v128.load(at);
    if (isFloat<T>()) {
      signed = i32x4.max_s(signed, x);
      unsigned = i32x4.max_u(unsigned, x);
    } else {
      signed = i16x8.max_s(signed, x);
      unsigned = i16x8.max_u(unsigned, x);
    }
  }
  const zero = i32x4.splat(0);
  if (isFloat<T>()) {
    const positive = i32x4.max_s(signed, zero);
    const negative = i32x4.max_s(v128.xor(unsigned, i32x4.splat(0x80000000)), zero);
    const both = i32x4.max_s(
      i8x16.shuffle(positive, negative, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
      i8x16.shuffle(positive, negative, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
    );
    return i32x4.max_s(both, i64x2.shr_u(both, 32));
  }
  const positive = i16x8.max_s(signed, zero);
  const negative = i16x8.max_s(v128.xor(unsigned, i16x8.splat(<i16>0x8000)), zero);
  const quarters = i16x8.max_s(
    i8x16.shuffle(positive, negative, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
    i8x16.shuffle(positive, negative, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
  const pairs = i16x8.max_s(quarters, i64x2.shr_u(quarters, 32));
  return v128.and(i16x8.max_s(pairs, i32x4.shr_u(pairs, 16)), i32x4.splat(0xffff));
}

/** A finite magnitude given by its bits, as float32. */
// @ts-ignore: decorator
@inline
export function magnitude<T>(bits: i32): f32 {
  if (isFloat<T>()) return reinterpret<f32>(bits);
  if (isSigned<T>()) {
    if (bits >= 0x7c00) return Infinity;
    return reinterpret<f32>(bits << 13) * <f32>5192296858534827628530496329220096.0;
  }
  return reinterpret<f32>(bits << 16);
}
