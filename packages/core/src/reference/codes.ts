/** Sub-byte codes that operators keep in uint8 tensors. */

/** Codes of `bits` packed first-in-low-bits into bytes, one double each. */
export function codesOf(bytes: Float64Array, bits: number): Float64Array {
  const perByte = 8 / bits;
  return Float64Array.from({ length: bytes.length * perByte }, (_, i) => (bytes[Math.floor(i / perByte)]! >> ((i % perByte) * bits)) & (2 ** bits - 1));
}
