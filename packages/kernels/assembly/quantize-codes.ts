/** Stores codes that a quantization has computed as small integers in float32 lanes. */

/** 2^23: the sum with a non-negative integer below it holds that integer in its low bits. */
// @ts-ignore: decorator
@inline const MAGIC: f32 = 8388608;
/** 1.5 · 2^23: the same for integers of either sign, in two's complement. */
// @ts-ignore: decorator
@inline const SIGNED_MAGIC: f32 = 12582912;

/**
 * Stores eight codes and returns the next position. `even` holds codes 0, 2, 4, 6, `odd` 1, 3, 5, 7.
 * B: u8, u16, u32 packs 2, 4, 8 bits; f64 stores one byte per code, signed or not.
 */
// @ts-ignore: decorator
@inline
export function storeCodes<B>(out: usize, even: v128, odd: v128): usize {
  if (isFloat<B>()) {
    const e = f32x4.add(even, f32x4.splat(SIGNED_MAGIC));
    const o = f32x4.add(odd, f32x4.splat(SIGNED_MAGIC));
    v128.store64_lane(out, i8x16.shuffle(e, o, 0, 16, 4, 20, 8, 24, 12, 28, 0, 16, 4, 20, 8, 24, 12, 28), 0);
    return out + 8;
  }
  // Neighbours become one integer per lane while they are still floats: exact, and no lane has to move.
  const shifted = f32x4.mul(odd, f32x4.splat(<f32>(1 << (sizeof<B>() * 2))));
  const pairs = f32x4.add(f32x4.add(even, f32x4.splat(MAGIC)), shifted);
  if (sizeof<B>() == 1) {
    const nibbles = v128.and(pairs, i32x4.splat(0xff));
    const bytes = v128.or(nibbles, i64x2.shr_u(nibbles, 28));
    v128.store16_lane(out, i8x16.shuffle(bytes, bytes, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8), 0);
    return out + 2;
  }
  if (sizeof<B>() == 2) {
    v128.store32_lane(out, i8x16.shuffle(pairs, pairs, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12), 0);
    return out + 4;
  }
  v128.store64_lane(out, i8x16.shuffle(pairs, pairs, 0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13), 0);
  return out + 8;
}

/**
 * Packs the codes of a whole or short block, one byte each, and fills the block's `size` bytes. Unused bits of the last byte
 * in use are those of the byte before, or 0 at the start of a group of 8 / bits blocks; unused bytes are 0.
 */
export function packBlock(codes: usize, count: i32, bits: i32, out: usize, size: i32, startsGroup: bool): void {
  const perByte = 8 / bits;
  const used = (count + perByte - 1) / perByte;
  for (let i = 0; i < used; i++) {
    const previous = i == 0 && startsGroup ? 0 : <i32>load<u8>(out + i - 1);
    let byte = 0;
    for (let j = 0; j < perByte; j++) {
      const at = i * perByte + j;
      const shift = j * bits;
      byte |= at < count ? <i32>load<u8>(codes + at) << shift : previous & (((1 << bits) - 1) << shift);
    }
    store<u8>(out + i, byte);
  }
  memory.fill(out + used, 0, size - used);
}

/** Packs zero points, one byte each, and returns the next position; those of blocks that do not exist are the middle code. */
export function packZeroCodes(codes: usize, count: i32, bits: i32, out: usize): usize {
  const perByte = 8 / bits;
  for (let i = 0; i < count; i += perByte, out++) {
    let byte = 0;
    for (let j = 0; j < perByte; j++) byte |= (i + j < count ? <i32>load<u8>(codes + i + j) : 1 << (bits - 1)) << (j * bits);
    store<u8>(out, byte);
  }
  return out;
}
