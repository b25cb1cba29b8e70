/** Casts in WebAssembly against their plain twins. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWord, asFloats, bits, firstDifference, placed, randomWords } from '../../test/arbitraries.js';
import type { NumberDType } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 0 });
const halves = ['float16', 'bfloat16'] as const;
const all16 = Uint16Array.from({ length: 65_536 }, (_, i) => i);

describe.each(halves)('%s', (dtype) => {
  it('widens every value as the plain twin', () => {
    const a = new Float32Array(65_536);
    const b = new Float32Array(65_536);
    wasm.toFloat32(dtype, all16, a);
    plain.toFloat32(dtype, all16, b);
    expect(firstDifference(bits(a), bits(b))).toBe(-1);
  });

  it.each([wasm, plain])('gets every value back ($name)', (kernels) => {
    const wide = new Float32Array(65_536);
    const back = new Uint16Array(65_536);
    kernels.toFloat32(dtype, all16, wide);
    kernels.fromFloat32(dtype, wide, back);
    const infinity = dtype === 'float16' ? 0x7c00 : 0x7f80;
    const nan = dtype === 'float16' ? 0x7e00 : 0x7fc0;
    expect(firstDifference(back, all16.map((code) => ((code & 0x7fff) > infinity ? nan : code)))).toBe(-1);
  });

  it('narrows the neighbourhood of every value and of every tie as the plain twin', () => {
    const wide = new Float32Array(65_536);
    plain.toFloat32(dtype, all16, wide);
    const centre = new Uint32Array(wide.buffer);
    const tie = dtype === 'float16' ? 0x1000 : 0x8000;
    for (const offset of [-1, 0, 1, tie - 1, tie, tie + 1]) {
      const src = new Float32Array(centre.map((word) => word + offset).buffer);
      for (const saturate of [false, true]) {
        const a = new Uint16Array(65_536);
        const b = new Uint16Array(65_536);
        wasm.fromFloat32(dtype, src, a, { saturate });
        plain.fromFloat32(dtype, src, b, { saturate });
        expect(firstDifference(a, b)).toBe(-1);
      }
    }
  });

  it('does any size at any place', () => {
    fc.assert(
      fc.property(fc.array(anyWord, { maxLength: 40 }), fc.boolean(), fc.boolean(), fc.nat(3), fc.boolean(), (words, inside, out, skew, saturate) => {
        const mark = wasm.arena.mark();
        const src = placed(wasm, asFloats(words), inside, skew);
        const a = placed(wasm, new Uint16Array(words.length), out, skew);
        const b = new Uint16Array(words.length);
        wasm.fromFloat32(dtype, src, a, { saturate });
        plain.fromFloat32(dtype, src, b, { saturate });
        expect(firstDifference(bits(a), bits(b))).toBe(-1);
        const wideA = placed(wasm, new Float32Array(words.length), inside, skew);
        const wideB = new Float32Array(words.length);
        wasm.toFloat32(dtype, a, wideA);
        plain.toFloat32(dtype, b, wideB);
        expect(firstDifference(bits(wideA), bits(wideB))).toBe(-1);
        wasm.arena.release(mark);
      }),
    );
  });

  it('does arrays larger than its staging area', () => {
    const src = new Float32Array(randomWords(7, 300_001).buffer);
    const a = new Uint16Array(src.length);
    const b = new Uint16Array(src.length);
    wasm.fromFloat32(dtype, src, a);
    plain.fromFloat32(dtype, src, b);
    expect(firstDifference(a, b)).toBe(-1);
  });
});

describe.each(['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float4e2m1'] as const)('%s', (dtype) => {
  it('the table gives what the arithmetic gives', () => {
    for (const lower of [0, 1, 0x8000, 0xffff]) {
      const src = asFloats(Uint32Array.from({ length: 65_536 }, (_, upper) => ((upper << 16) | lower) >>> 0));
      for (const saturate of [false, true]) {
        const a = new Uint8Array(65_536);
        const b = new Uint8Array(65_536);
        wasm.fromFloat32(dtype, src, a, { saturate });
        plain.fromFloat32(dtype, src, b, { saturate });
        expect(firstDifference(a, b)).toBe(-1);
      }
    }
  });
});

describe('integers', () => {
  it.each([
    ['int8', new Int8Array(8), [-128, 127, 0, 2, 2, -2, 0, 127]],
    ['uint8', new Uint8Array(8), [0, 255, 0, 2, 2, 0, 0, 255]],
    ['int4', new Int8Array(8), [-8, 7, 0, 2, 2, -2, 0, 7]],
    ['uint2', new Uint8Array(8), [0, 3, 0, 2, 2, 0, 0, 3]],
    ['int32', new Int32Array(8), [-2147483648, 2147483647, 0, 2, 2, -2, 0, 300]],
    ['uint32', new Uint32Array(8), [0, 4294967295, 0, 2, 2, 0, 0, 300]],
    ['bool', new Uint8Array(8), [1, 1, 1, 1, 1, 1, 0, 1]],
  ] as const)('%s rounds half to even and saturates', (dtype, dst, wanted) => {
    wasm.fromFloat32(dtype, Float32Array.of(-Infinity, 1e20, 0.5, 1.5, 2.5, -1.5, 0, 300), dst);
    expect([...dst]).toEqual(wanted);
  });

  it('NaN becomes 0', () => {
    const dst = new BigInt64Array(2);
    wasm.fromFloat32('int64', Float32Array.of(NaN, -3e30), dst);
    expect([...dst]).toEqual([0n, -(2n ** 63n)]);
  });

  it('64-bit integers round once', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const dst = new Float32Array(1);
        wasm.toFloat32('int64', BigInt64Array.of(value), dst);
        const got = new Uint32Array(dst.buffer)[0]!;
        const distance = (word: number): bigint => {
          const exact = BigInt(new Float32Array(Uint32Array.of(word).buffer)[0]!) - value;
          return exact < 0n ? -exact : exact;
        };
        const near = distance(got);
        if (value > -(2n ** 24n) && value < 2n ** 24n) expect(near).toBe(0n);
        else for (const other of [got - 1, got + 1]) expect(distance(other) > near || (distance(other) === near && got % 2 === 0)).toBe(true);
      }),
    );
  });

  it('refuses what does not fit', () => {
    expect(() => wasm.toFloat32('float16', new Uint8Array(2), new Float32Array(2))).toThrow(/float16 needs a Uint16Array/);
    expect(() => wasm.fromFloat32('int8', new Float32Array(3), new Int8Array(2))).toThrow(/2 elements against 3/);
    expect(() => wasm.toFloat32('complex64' as NumberDType, new Float32Array(2), new Float32Array(2))).toThrow(/no cast/);
  });
});
