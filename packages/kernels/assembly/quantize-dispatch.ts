/** One entry for the 24 compiled forms of the quantization. */
import { QuantizeJob } from './jobs';
import { quantize } from './quantize';

/** `source`: 0 float32, 1 float16, 2 bfloat16. `form`: 2, 4, 8 for MatMulNBits with that many bits, 0 for one code per byte. */
export function quantizeBlocks(source: i32, form: i32, stats: bool, at: usize): void {
  const job = changetype<QuantizeJob>(at);
  if (source == 0) ofSource<f32>(form, stats, job);
  else if (source == 1) ofSource<i16>(form, stats, job);
  else ofSource<u16>(form, stats, job);
}

// @ts-ignore: decorator
@inline
function ofSource<T>(form: i32, stats: bool, job: QuantizeJob): void {
  if (form == 2) ofForm<T, u8>(stats, job);
  else if (form == 4) ofForm<T, u16>(stats, job);
  else if (form == 8) ofForm<T, u32>(stats, job);
  else ofForm<T, f64>(stats, job);
}

// @ts-ignore: decorator
@inline
function ofForm<T, B>(stats: bool, job: QuantizeJob): void {
  if (stats) quantize<T, B, f32>(job);
  else quantize<T, B, u8>(job);
}
