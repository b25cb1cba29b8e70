/** Sums, products and casts of bytes in WebAssembly against their plain twins. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWord, asFloats, bits, canonical, firstDifference, placed } from '../../test/arbitraries.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 0 });

describe.each(['add', 'multiply'] as const)('%s', (op) => {
  it('equals its plain twin, with an array and with one number', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyWord, anyWord), { minLength: 1, maxLength: 40 }), fc.boolean(), fc.boolean(), fc.boolean(), fc.nat(3), (pairs, inside, scalar, inPlace, skew) => {
        const mark = wasm.arena.mark();
        const a = asFloats(pairs.map(([word]) => word));
        const b = asFloats(pairs.map(([, word]) => word)).subarray(0, scalar ? 1 : pairs.length);
        const wanted = new Float32Array(a.length);
        plain[op](a, b, wanted);
        const left = placed(wasm, a, inside, skew);
        const got = inPlace ? left : placed(wasm, new Float32Array(a.length), inside, skew);
        wasm[op](left, placed(wasm, b, inside, skew), got);
        expect(firstDifference(canonical(got), canonical(wanted))).toBe(-1);
        wasm.arena.release(mark);
      }),
    );
  });

  it.each([wasm, plain])('refuses sizes that do not fit ($name)', (kernels) => {
    expect(() => kernels[op](new Float32Array(4), new Float32Array(3), new Float32Array(4))).toThrow(/3 and 4/);
    expect(() => kernels[op](new Float32Array(4), new Float32Array(4), new Float32Array(3))).toThrow(/4 and 3/);
  });
});

describe.each([['int8', Int8Array], ['uint8', Uint8Array]] as const)('%s', (dtype, ctor) => {
  it('is widened and rounded as the plain twin does it', () => {
    const word = fc.oneof(anyWord, fc.double({ min: -300, max: 300, noNaN: true }).map((x) => new Uint32Array(Float32Array.of(Math.round(x * 4) / 4).buffer)[0]!));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 50 }), fc.boolean(), fc.boolean(), fc.nat(3), (words, inside, out, skew) => {
        const mark = wasm.arena.mark();
        const src = asFloats(words);
        const a = placed(wasm, new ctor(words.length), out, skew);
        const b = new ctor(words.length);
        wasm.fromFloat32(dtype, placed(wasm, src, inside, skew), a);
        plain.fromFloat32(dtype, src, b);
        expect(firstDifference(a, b)).toBe(-1);
        const wideA = placed(wasm, new Float32Array(words.length), inside, skew);
        const wideB = new Float32Array(words.length);
        wasm.toFloat32(dtype, a, wideA);
        plain.toFloat32(dtype, b, wideB);
        expect(firstDifference(bits(wideA), bits(wideB))).toBe(-1);
        wasm.arena.release(mark);
      }),
    );
  });
});
