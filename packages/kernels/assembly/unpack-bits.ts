/** Fields of 1, 2 and 4 bits of sixteen bytes, as the block formats of GGUF store them. */

/** Four bits of every byte, from bit `shift` on. */
// @ts-ignore: decorator
@inline
export function nibblesOf(x: v128, shift: i32): v128 {
  return v128.and(i8x16.shr_u(x, shift), i8x16.splat(15));
}

/** Two bits of every byte, from bit `shift` on. */
// @ts-ignore: decorator
@inline
export function pairsOf(x: v128, shift: i32): v128 {
  return v128.and(i8x16.shr_u(x, shift), i8x16.splat(3));
}

/** Bit `shift` of every byte, times `value`. */
// @ts-ignore: decorator
@inline
export function bitOf(x: v128, shift: i32, value: i8): v128 {
  const bit = i8x16.splat(<i8>(<i32>1 << <i32>shift));
  return v128.and(i8x16.eq(v128.and(x, bit), bit), i8x16.splat(value));
}

/** The 16 bits at `at` as bytes of 0 or 16. */
// @ts-ignore: decorator
@inline
export function fifthBits(at: usize): v128 {
  const word = v128.load16_splat(at);
  const bytes = i8x16.shuffle(word, word, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const bit = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return v128.and(i8x16.eq(v128.and(bytes, bit), bit), i8x16.splat(16));
}
