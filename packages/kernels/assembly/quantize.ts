/**
 * Block quantization of rows, a group of blocks at a time while it is in the first-level cache: ranges, then grids, then codes.
 * Types stand for compile-time choices. T: f32, u16 (bfloat16), i16 (float16). B: u8, u16, u32 for MatMulNBits with
 * 2, 4, 8 bits, f64 for one code per byte (`linear`). S: f32 with statistics, u8 without.
 */
import { QuantizeJob } from './jobs';
import { packBlock, packZeroCodes } from './quantize-codes';
import { encodeBlocks } from './quantize-encode';
import { fitGrids } from './quantize-fit';
import { CODES, GROUP, HALF_SCALES, makeGrids, ORDINARY, SCALES, zeroCodes, ZERO_CODES } from './quantize-grid';
import { scanRanges } from './quantize-scan';
import { slowBlock } from './quantize-slow';

export function quantize<T, B, S>(job: QuantizeJob): void {
  const linear = isFloat<B>();
  const bits = linear ? job.bits : <i32>sizeof<B>() * 2;
  const perByte = linear ? 1 : 8 / bits;
  const gridBits = job.gridBits;
  const fixed: f32 = linear ? 0 : <f32>(1 << (bits - 1)); // zero point of symmetric grids
  const cols = job.cols;
  const blockSize = job.blockSize;
  const blockBytes = blockSize / perByte; // of a whole block of codes
  const blocks = (cols + blockSize - 1) / blockSize;
  const whole = blockSize & 7 ? 0 : cols / blockSize; // blocks of this row that can be ordinary
  // A group is a multiple of 8 blocks, so that its zero points fill whole bytes, and at most 4096 elements where possible.
  const group = max(8, min(GROUP, 4096 / blockSize) & ~7);
  const symmetric = job.symmetric != 0;
  const halfScales = job.halfScales != 0;
  const scaleShift = halfScales ? 1 : 2;
  const low: f32 = symmetric ? fixed - <f32>(1 << (gridBits - 1)) : 0;
  const high: f32 = low + <f32>((1 << gridBits) - 1);
  const fit = job.fit;
  const scratch = job.scratch;
  const codes = scratch + CODES;
  let src = job.src;
  let out = job.values;
  let scales = job.scales;
  let zeros = job.zeros;

  for (let row = 0; row < job.rows; row++) {
    for (let first = 0; first < blocks; first += group) {
      const count = min(group, blocks - first);
      const ready = max(0, min(count, whole - first));
      let ordinary = ready == count;
      if (ready > 0) {
        scanRanges<T>(src, ready, blockSize, scratch);
        ordinary = makeGrids<T>(scratch, ready, gridBits, symmetric, fixed, linear, halfScales) && ordinary;
        if (fit != 0) fitGrids<T>(src, ready, blockSize, scratch, fit, symmetric, low, high, linear, halfScales);
        memory.copy(scales, scratch + (halfScales ? HALF_SCALES : SCALES), ready << scaleShift);
        if (!symmetric) zeroCodes(scratch, ready);
      }
      if (ordinary) {
        out = encodeBlocks<T, B, S>(src, count, blockSize, scratch, out, low, high, job);
        src += <usize>(count * blockSize) * sizeof<T>();
      } else {
        for (let i = 0; i < count; i++) {
          const size = min(blockSize, cols - (first + i) * blockSize);
          if (i < ready && load<i32>(scratch + (<usize>i << 2), ORDINARY) != 0) {
            out = encodeBlocks<T, B, S>(src, 1, blockSize, scratch + (<usize>i << 2), out, low, high, job);
          } else {
            const at = linear ? out : codes;
            const zero = slowBlock<T>(src, size, gridBits, fixed, linear, symmetric, halfScales, isFloat<S>(), at, scales + (i << scaleShift), job);
            store<u8>(scratch + i, zero, ZERO_CODES);
            if (linear) out += size;
            else {
              packBlock(codes, size, bits, out, blockBytes, (first + i) % perByte == 0);
              out += blockBytes;
            }
          }
          src += <usize>size * sizeof<T>();
        }
      }
      scales += count << scaleShift;
      if (!symmetric) zeros = packZeroCodes(scratch + ZERO_CODES, count, linear ? 8 : bits, zeros);
    }
  }
}
