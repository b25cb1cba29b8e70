/** Block codes back to float32: (code - zero point) * scale. B as in quantize.ts; f64 is one code per byte. */
import { widenOne } from './half';
import { DequantizeJob } from './jobs';

/** `form`: 2, 4, 8 for MatMulNBits with that many bits, 0 for one code per byte. */
export function dequantizeBlocks(form: i32, at: usize): void {
  const job = changetype<DequantizeJob>(at);
  if (form == 2) dequantize<u8>(job);
  else if (form == 4) dequantize<u16>(job);
  else if (form == 8) dequantize<u32>(job);
  else dequantize<f64>(job);
}

function dequantize<B>(job: DequantizeJob): void {
  const linear = isFloat<B>();
  const bits = linear ? 8 : <i32>sizeof<B>() * 2;
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const signed = linear && job.symmetric != 0;
  const flip = signed ? 0x80 : 0; // turns a two's complement byte into an unsigned one with zero point 128
  const cols = job.cols;
  const blockSize = job.blockSize;
  const vectorBlocks = (blockSize & 7) == 0;
  let dst = job.dst;
  let values = job.values;
  let scales = job.scales;
  let zeros = job.zeros;

  for (let row = 0; row < job.rows; row++) {
    let block = 0;
    for (let begin = 0; begin < cols; begin += blockSize, block++) {
      const count = min(blockSize, cols - begin);
      let zero = signed ? 0x80 : 1 << (job.bits - 1);
      if (zeros != 0) zero = (<i32>load<u8>(zeros + block / perByte) >> ((block % perByte) * bits)) & mask;
      let scale: f32;
      if (job.halfScales != 0) {
        scale = widenOne<i16>(scales);
        scales += 2;
      } else {
        scale = load<f32>(scales);
        scales += 4;
      }
      const bulk = vectorBlocks ? count & ~7 : 0;
      const zeroVector = i32x4.splat(zero);
      const scaleVector = f32x4.splat(scale);
      let i = 0;
      for (; i < bulk; i += 8) {
        const codes = loadCodes<B>(values + i / perByte, flip);
        v128.store(dst, f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(i32x4.extend_low_i16x8_u(codes), zeroVector)), scaleVector));
        v128.store(dst, f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(i32x4.extend_high_i16x8_u(codes), zeroVector)), scaleVector), 16);
        dst += 32;
      }
      for (; i < count; i++, dst += 4) {
        const code = (<i32>load<u8>(values + i / perByte) >> ((i % perByte) * bits)) & mask;
        store<f32>(dst, <f32>((code ^ flip) - zero) * scale);
      }
      values += linear ? count : blockSize / perByte;
    }
    if (zeros != 0) zeros += (block + perByte - 1) / perByte;
  }
}

/** Eight codes as unsigned 16-bit lanes. */
// @ts-ignore: decorator
@inline
function loadCodes<B>(at: usize, flip: i32): v128 {
  if (sizeof<B>() == 1) {
    const nibbles = interleave(v128.load16_splat(at), 4, 0x0f);
    return i16x8.extend_low_i8x16_u(interleave(nibbles, 2, 0x03));
  }
  if (sizeof<B>() == 2) return i16x8.extend_low_i8x16_u(interleave(v128.load32_zero(at), 4, 0x0f));
  return i16x8.extend_low_i8x16_u(v128.xor(v128.load64_zero(at), i8x16.splat(<i8>flip)));
}

/** Each of the eight lowest bytes as two: its low bits, then what lies `shift` above. */
// @ts-ignore: decorator
@inline
function interleave(x: v128, shift: i32, mask: i8): v128 {
  const low = v128.and(x, i8x16.splat(mask));
  const high = v128.and(i16x8.shr_u(x, shift), i8x16.splat(mask));
  return i8x16.shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
