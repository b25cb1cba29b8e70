/** The commonest formats repacked without a stop at one code per byte: codes that are moved only, two or four at a time. */
import type { BlockCodecName } from '../../shared/block-codecs.js';
import { sixBitScales } from './k-quants.js';
import { half } from './simple.js';
import type { Unpack } from './unpack.js';

export interface FastRepack {
  /** Scales and minimums of the block that starts at `at`. */
  readonly scales: Unpack;
  /** Codes to `values` from `to` on; with `low`, their high nibbles there and the low ones to `low`. */
  readonly codes: (src: Uint8Array, at: number, values: Uint8Array, to: number, low: Uint8Array | undefined) => void;
}

/** Of `count` bytes the low nibbles in pairs, then the high ones. */
function pairNibbles(src: Uint8Array, at: number, count: number, values: Uint8Array, to: number): void {
  const middle = to + (count >> 1);
  for (let i = 0; i < count; i += 2) {
    const a = src[at + i]!;
    const b = src[at + i + 1]!;
    values[to + (i >> 1)] = (a & 15) | (b << 4);
    values[middle + (i >> 1)] = (a >> 4) | (b & 0xf0);
  }
}

export const fastRepacks: Partial<Readonly<Record<BlockCodecName, FastRepack>>> = {
  Q4_0: {
    scales: (src, at, { scales }) => void (scales[0] = half(src, at)),
    codes: (src, at, values, to) => pairNibbles(src, at + 2, 16, values, to),
  },
  Q4_1: {
    scales: (src, at, { scales, mins }) => {
      scales[0] = half(src, at);
      mins[0] = -half(src, at + 2);
    },
    codes: (src, at, values, to) => pairNibbles(src, at + 4, 16, values, to),
  },
  Q4_K: {
    scales: (src, at, { scales, mins }) => sixBitScales(src, at, scales, mins),
    codes: (src, at, values, to) => {
      for (let i = 0; i < 128; i += 32) pairNibbles(src, at + 16 + i, 32, values, to + i);
    },
  },
  Q8_0: {
    scales: (src, at, { scales }) => void (scales[0] = half(src, at)),
    codes: (src, at, values, to, low) => {
      if (!low) {
        for (let i = 0; i < 32; i++) values[to + i] = src[at + 2 + i]! ^ 128;
        return;
      }
      for (let i = 0; i < 16; i++) {
        const a = src[at + 2 + 2 * i]! ^ 128;
        const b = src[at + 3 + 2 * i]! ^ 128;
        low[to + i] = (a & 15) | (b << 4);
        values[to + i] = (a >> 4) | (b & 0xf0);
      }
    },
  },
};
