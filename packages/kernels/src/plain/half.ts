/** float16 and bfloat16 to float32 and back, by integer arithmetic on the bits. */

/** Bits of the float32 that the float16 `h` stands for; exact, NaN keeps its payload. */
export function float16ToBits(h: number): number {
  const sign = (h & 0x8000) << 16;
  const exponent = (h >> 10) & 31;
  const mantissa = h & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21; // brings the leading one to bit 10
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

/** float16 bits of the float32 with the given bits: half to even, NaN becomes 0x7e00. */
export function bitsToFloat16(bits: number, saturate = false): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x38800000) {
    // A normal float16; a carry out of the mantissa moves on to the exponent, and at the end to infinity.
    const rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    const half = rounded >= 0x47800000 ? 0x7c00 : (rounded >> 13) - (112 << 10);
    return sign | (saturate && half === 0x7c00 ? 0x7bff : half);
  }
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const quotient = mantissa >> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (quotient + (rest > half || (rest === half && (quotient & 1) === 1) ? 1 : 0));
}

/** bfloat16 bits of the float32 with the given bits: half to even, NaN becomes 0x7fc0. */
export function bitsToBfloat16(bits: number, saturate = false): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fc0;
  const half = (magnitude + 0x7fff + ((magnitude >> 16) & 1)) >>> 16;
  return ((bits >>> 16) & 0x8000) | (saturate && half === 0x7f80 ? 0x7f7f : half);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

export function bitsOf(value: number): number {
  float[0] = value;
  return word[0] as number;
}

export function floatOf(bits: number): number {
  word[0] = bits;
  return float[0] as number;
}

/** A float32 rounded to float16 and widened again. */
export function roundToFloat16(value: number, saturate = false): number {
  return floatOf(float16ToBits(bitsToFloat16(bitsOf(value), saturate)));
}

/** The raw bits behind floats, without a copy where the alignment allows. */
export function wordsOf(floats: Float32Array): Uint32Array {
  return new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
}
