/** Blocks of GGUF files: WebAssembly against the plain twins, bit for bit, wherever the arrays lie. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyWord, asFloats, bits as bitsOf, canonical, firstDifference, placed, randomWords, weightWord } from '../../test/arbitraries.js';
import { plainKernels } from '../plain/index.js';
import { type BlockCodecName, blockCodecs } from '../shared/block-codecs.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 21 });
const plain = plainKernels({ arenaBytes: 64 });
const names = Object.keys(blockCodecs) as BlockCodecName[];

/** Blocks of any bytes: scales are infinite and not a number too. Up to more than one piece of the driver. */
const blocksOf = (codec: BlockCodecName): fc.Arbitrary<Uint8Array> => {
  const { blockBytes, blockSize } = blockCodecs[codec];
  return fc.tuple(fc.integer(), fc.nat(Math.ceil(20_000 / blockSize))).map(([seed, count]) => bitsOf(randomWords(seed, Math.ceil((count * blockBytes) / 4))).slice(0, count * blockBytes));
};

describe.each(names)('%s', (codec) => {
  const { blockSize, blockBytes, subSize, bits, corrected } = blockCodecs[codec];

  test('is decoded as the plain twin does it', () => {
    fc.assert(
      fc.property(blocksOf(codec), fc.boolean(), fc.boolean(), fc.nat(3), (src, from, to, skew) => {
        const mark = wasm.arena.mark();
        const count = (src.length / blockBytes) * blockSize;
        const a = placed(wasm, new Float32Array(count), to, skew);
        const b = new Float32Array(count);
        wasm.decodeBlocks({ codec, src: placed(wasm, src, from, skew), dst: a });
        plain.decodeBlocks({ codec, src, dst: b });
        expect(firstDifference(canonical(a), canonical(b))).toBe(-1);
        wasm.arena.release(mark);
      }),
      { numRuns: 20 },
    );
  });

  test('is repacked as the plain twin does it', () => {
    fc.assert(
      fc.property(blocksOf(codec), fc.boolean(), fc.boolean(), fc.boolean(), fc.nat(3), (src, from, to, wantsLow, skew) => {
        const mark = wasm.arena.mark();
        const split = wantsLow && bits === 8;
        const count = (src.length / blockBytes) * blockSize;
        const planes = (): { values: Uint8Array; scales: Float32Array } => ({
          values: new Uint8Array((count * (split ? 4 : bits)) / 8), scales: new Float32Array(count / subSize),
        });
        const wanted = { ...planes(), ...(split && { low: planes() }), ...(corrected && { correction: new Float32Array(count / subSize) }) };
        const place = ({ values, scales }: ReturnType<typeof planes>): ReturnType<typeof planes> => ({ values: placed(wasm, values, to, skew), scales: placed(wasm, scales, to, skew) });
        const got = { ...place(planes()), ...(split && { low: place(planes()) }), ...(corrected && { correction: placed(wasm, new Float32Array(count / subSize), to, skew) }) };
        wasm.repackBlocks({ codec, src: placed(wasm, src, from, skew), ...got });
        plain.repackBlocks({ codec, src, ...wanted });
        for (const [x, y] of [[got, wanted], [got.low, wanted.low]]) {
          if (!x || !y) continue;
          expect(firstDifference(x.values, y.values)).toBe(-1);
          expect(firstDifference(canonical(x.scales), canonical(y.scales))).toBe(-1);
        }
        if (got.correction && wanted.correction) expect(firstDifference(canonical(got.correction), canonical(wanted.correction))).toBe(-1);
        wasm.arena.release(mark);
      }),
      { numRuns: 20 },
    );
  });
});

describe.each(['Q8_0', 'Q4_0'] as const)('%s', (codec) => {
  test.each([['any floats', anyWord, 3], ['weights', weightWord, 600]] as const)('is written as the plain twin does it, from %s', (_, word, blocks) => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 32, maxLength: 64 }), fc.nat(blocks), fc.boolean(), fc.boolean(), fc.nat(3), (words, times, from, to, skew) => {
        const mark = wasm.arena.mark();
        // The same numbers at another phase in every block.
        const src = asFloats(Array.from({ length: (times + 1) * 32 }, (_, i) => words[(i * 7) % words.length]!));
        const length = (src.length / 32) * blockCodecs[codec].blockBytes;
        const a = placed(wasm, new Uint8Array(length), to, skew);
        const b = new Uint8Array(length);
        const got = wasm.encodeBlocks({ codec, src: placed(wasm, src, from, skew), dst: a });
        const wanted = plain.encodeBlocks({ codec, src, dst: b });
        expect(firstDifference(a, b)).toBe(-1);
        expect(got.nonFinite).toBe(wanted.nonFinite);
        for (const sum of ['sumSquares', 'sumSquaredError', 'maxError'] as const) {
          expect(Math.abs(got[sum] - wanted[sum])).toBeLessThanOrEqual(wanted[sum] * 1e-6);
        }
        wasm.arena.release(mark);
      }),
    );
  });
});

test('what is not finite becomes 0', () => {
  for (const kernels of [wasm, plain]) {
    for (const codec of ['Q8_0', 'Q4_0'] as const) {
      const src = Float32Array.from({ length: 32 }, (_, i) => [NaN, Infinity, -Infinity, 1 - i / 16][i % 4]!);
      const dst = new Uint8Array(blockCodecs[codec].blockBytes);
      const back = new Float32Array(32);
      expect(kernels.encodeBlocks({ codec, src, dst }).nonFinite).toBe(24);
      kernels.decodeBlocks({ codec, src: dst, dst: back });
      for (let i = 0; i < 32; i++) expect(Math.abs(back[i]! - (i % 4 === 3 ? src[i]! : 0))).toBeLessThan(0.1);
    }
  }
});
