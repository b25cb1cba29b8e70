/** Float32 to GGUF blocks, bit for bit as gguf-py writes them: every operation is one IEEE float32 operation. */
import type { BlockStats, EncodeBlocksArgs } from '../../kernels.js';
import { blockCodecs } from '../../shared/block-codecs.js';
import { checkEncode } from '../../shared/check-codecs.js';
import { bitsOf, bitsToFloat16, float16ToBits, floatOf } from '../half.js';

const { fround } = Math;

/** Writes the codes of 32 weights from `from` at `to`, and gives the scale that is stored. */
type Encode = (src: Float32Array, from: number, dst: Uint8Array, to: number, codes: Int8Array) => number;

const encoders: Readonly<Record<EncodeBlocksArgs['codec'], Encode>> = {
  Q8_0: (src, from, dst, to, codes) => {
    let largest = 0;
    for (let i = 0; i < 32; i++) largest = Math.max(largest, magnitude(src[from + i]!));
    const scale = fround(largest / 127);
    const reciprocal = scale === 0 ? 0 : fround(1 / scale);
    for (let i = 0; i < 32; i++) {
      const y = fround(src[from + i]! * reciprocal);
      const rounded = Math.floor(Math.abs(y) + 0.5); // half away from zero; exact in float64
      codes[i] = Number.isFinite(y) ? (y < 0 ? -rounded : rounded) : 0;
      dst[to + 2 + i] = codes[i]!;
    }
    return storeHalf(dst, to, scale);
  },
  Q4_0: (src, from, dst, to, codes) => {
    let extreme = 0;
    for (let i = 0; i < 32; i++) if (magnitude(src[from + i]!) > Math.abs(extreme)) extreme = src[from + i]!;
    const scale = fround(extreme / -8);
    const reciprocal = scale === 0 ? 0 : fround(1 / scale);
    for (let i = 0; i < 32; i++) {
      const y = fround(fround(src[from + i]! * reciprocal) + 8.5);
      // Where only the product overflows, with scales below 2^-128, gguf-py stores 0; the scale is stored as 0 too.
      codes[i] = Number.isFinite(y) ? Math.min(15, Math.trunc(y)) - 8 : Number.isFinite(src[from + i]!) ? -8 : 0;
    }
    for (let i = 0; i < 16; i++) dst[to + 2 + i] = (codes[i]! + 8) | ((codes[i + 16]! + 8) << 4);
    return storeHalf(dst, to, scale);
  },
};

/** Of a finite number; NaN and infinities set no scale. */
function magnitude(value: number): number {
  const size = Math.abs(value);
  return size < Infinity ? size : 0;
}

function storeHalf(dst: Uint8Array, at: number, value: number): number {
  const bits = bitsToFloat16(bitsOf(value), true);
  dst[at] = bits;
  dst[at + 1] = bits >> 8;
  return floatOf(float16ToBits(bits));
}

export function encodeBlocks(args: EncodeBlocksArgs): BlockStats {
  const { codec, src, dst } = args;
  const blocks = checkEncode(args);
  const encode = encoders[codec];
  const codes = new Int8Array(32);
  const stats: BlockStats = { sumSquares: 0, sumSquaredError: 0, maxError: 0, nonFinite: 0 };
  for (let block = 0; block < blocks; block++) {
    const scale = encode(src, block * 32, dst, block * blockCodecs[codec].blockBytes, codes);
    for (let i = 0; i < 32; i++) {
      const value = src[block * 32 + i]!;
      if (!Number.isFinite(value)) {
        stats.nonFinite++;
        continue;
      }
      const error = Math.abs(value - fround(scale * codes[i]!));
      stats.sumSquares += value * value;
      stats.sumSquaredError += error * error;
      if (error > stats.maxError) stats.maxError = error;
    }
  }
  return stats;
}
