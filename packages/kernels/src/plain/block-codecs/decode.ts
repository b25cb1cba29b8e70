/** GGUF blocks to float32, or to the codes of MatMulNBits: this file defines the rounding. */
import type { DecodeBlocksArgs, RepackBlocksArgs } from '../../kernels.js';
import { type BlockCodecName, blockCodecs } from '../../shared/block-codecs.js';
import { checkDecode, checkRepack } from '../../shared/check-codecs.js';
import { iq4_nl, iq4_xs, mxfp4, nvfp4 } from './four-bit-tables.js';
import { iq1_m, iq1_s, iq2_s, iq2_xs, iq2_xxs, iq3_s, iq3_xxs } from './grids.js';
import { q2_k, q3_k, q4_k, q5_k, q6_k } from './k-quants.js';
import { q1_0, q4_0, q4_1, q5_0, q5_1, q8_0, q8_k, tq1_0, tq2_0 } from './simple.js';
import { type Unpack, unpacked } from './unpack.js';

const { fround } = Math;

export const unpackers: Readonly<Record<BlockCodecName, Unpack>> = {
  Q4_0: q4_0, Q4_1: q4_1, Q5_0: q5_0, Q5_1: q5_1, Q8_0: q8_0,
  Q2_K: q2_k, Q3_K: q3_k, Q4_K: q4_k, Q5_K: q5_k, Q6_K: q6_k, Q8_K: q8_k,
  IQ1_S: iq1_s, IQ1_M: iq1_m, IQ2_XXS: iq2_xxs, IQ2_XS: iq2_xs, IQ2_S: iq2_s, IQ3_XXS: iq3_xxs, IQ3_S: iq3_s,
  IQ4_NL: iq4_nl, IQ4_XS: iq4_xs, TQ1_0: tq1_0, TQ2_0: tq2_0, MXFP4: mxfp4, NVFP4: nvfp4, Q1_0: q1_0,
};

/** scale · code, rounded, then less the minimum, rounded: as ggml and gguf-py compute it. */
export function decodeBlocks(args: DecodeBlocksArgs): void {
  const { codec, src, dst } = args;
  const blocks = checkDecode(args);
  const { blockSize, blockBytes, subSize, corrected } = blockCodecs[codec];
  const unpack = unpackers[codec];
  const parts = unpacked();
  const { codes, scales, mins } = parts;
  for (let block = 0; block < blocks; block++) {
    unpack(src, block * blockBytes, parts);
    const to = block * blockSize;
    for (let begin = 0, sub = 0; begin < blockSize; begin += subSize, sub++) {
      const scale = scales[sub]!;
      const end = begin + subSize;
      if (corrected) {
        const min = mins[sub]!;
        for (let i = begin; i < end; i++) dst[to + i] = fround(scale * codes[i]!) - min;
      } else for (let i = begin; i < end; i++) dst[to + i] = scale * codes[i]!;
    }
  }
}

/** Codes and scales are moved, nothing is rounded but the correction, once. */
export function repackBlocks(args: RepackBlocksArgs): void {
  const { codec, src, values, scales: outScales, low, correction } = args;
  const blocks = checkRepack(args);
  const { blockSize, blockBytes, subSize, bits, offset, corrected } = blockCodecs[codec];
  const unpack = unpackers[codec];
  const parts = unpacked();
  const { codes, scales, mins } = parts;
  const subs = blockSize / subSize;
  const shift = 2 ** (bits - 1) - offset;
  const blockValues = (blockSize * (low ? 4 : bits)) / 8;
  const factor = low ? 16 : 1;
  for (let block = 0; block < blocks; block++) {
    unpack(src, block * blockBytes, parts);
    for (let sub = 0; sub < subs; sub++) {
      outScales[block * subs + sub] = scales[sub]! * factor;
      if (low) low.scales[block * subs + sub] = scales[sub]!;
      // scale · shift is exact: a float16 times two small integers.
      if (corrected && correction) correction[block * subs + sub] = scales[sub]! * shift - mins[sub]!;
    }
    const to = block * blockValues;
    if (low) splitNibbles(codes, offset, values, low.values, to, blockValues);
    else if (bits === 8) for (let i = 0; i < blockSize; i++) values[to + i] = codes[i]! + offset;
    else for (let i = 0; i < blockValues; i++) values[to + i] = (codes[2 * i]! + offset) | ((codes[2 * i + 1]! + offset) << 4);
  }
}

function splitNibbles(codes: Int8Array, offset: number, high: Uint8Array, low: Uint8Array, to: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const a = codes[2 * i]! + offset;
    const b = codes[2 * i + 1]! + offset;
    low[to + i] = (a & 15) | ((b & 15) << 4);
    high[to + i] = (a >> 4) | (b & 0xf0);
  }
}
