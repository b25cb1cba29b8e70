/** The range of a block, found on the raw bits: the sign-magnitude forms order as integers, two comparisons per vector. */

/**
 * For each of `blocks` blocks of `blockSize` (a multiple of 8) source elements stores the largest magnitude among the positive
 * values and among the negative ones at `ranges`, as raw bits in two 32-bit words. NaN is larger than infinity.
 */
export function scanRanges<T>(src: usize, blocks: i32, blockSize: i32, ranges: usize): void {
  const bytes = <usize>blockSize * sizeof<T>();
  const last = ranges + (<usize>blocks << 3);
  for (; ranges < last; ranges += 8) {
    let signed = v128.load(src); // greatest as signed: the largest positive value
    let unsigned = signed; // greatest as unsigned: the most negative value
    const end = src + bytes;
    for (src += 16; src < end; src += 16) {
      const x = v128.load(src);
      if (isFloat<T>()) {
        signed = i32x4.max_s(signed, x);
        unsigned = i32x4.max_u(unsigned, x);
      } else {
        signed = i16x8.max_s(signed, x);
        unsigned = i16x8.max_u(unsigned, x);
      }
    }
    v128.store64_lane(ranges, isFloat<T>() ? reduceWords(signed, unsigned) : reduceHalves(signed, unsigned), 0);
  }
}

// @ts-ignore: decorator
@inline
function reduceWords(signed: v128, unsigned: v128): v128 {
  const zero = i32x4.splat(0);
  const positive = i32x4.max_s(signed, zero);
  const negative = i32x4.max_s(v128.xor(unsigned, i32x4.splat(0x80000000)), zero);
  // Lanes (p0 n0 p1 n1) against (p2 n2 p3 n3), then the upper half against the lower.
  const both = i32x4.max_s(
    i8x16.shuffle(positive, negative, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(positive, negative, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  );
  return i32x4.max_s(both, i8x16.shuffle(both, both, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

// @ts-ignore: decorator
@inline
function reduceHalves(signed: v128, unsigned: v128): v128 {
  const zero = i16x8.splat(0);
  const positive = i16x8.max_s(signed, zero);
  const negative = i16x8.max_s(v128.xor(unsigned, i16x8.splat(<i16>0x8000)), zero);
  const quarters = i16x8.max_s(
    i8x16.shuffle(positive, negative, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(positive, negative, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  );
  const pairs = i16x8.max_s(quarters, i8x16.shuffle(quarters, quarters, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  return v128.and(i16x8.max_s(pairs, i32x4.shr_u(pairs, 16)), i32x4.splat(0xffff));
}
