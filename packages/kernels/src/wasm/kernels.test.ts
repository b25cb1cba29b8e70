/** Packing, transposes, statistics and the arena: WebAssembly against the plain twins. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWord, asFloats, bits, firstDifference, placed, randomWords } from '../../test/arbitraries.js';
import { KernelError } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 64 });
const both = [wasm, plain];

describe('pack and unpack', () => {
  it('equal their plain twins and undo each other', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(2 as const, 4 as const), fc.boolean(), fc.boolean(), fc.nat(5), (codes, width, signed, inside, skew) => {
        const mark = wasm.arena.mark();
        const packedA = placed(wasm, new Uint8Array(Math.ceil((codes.length * width) / 8)).fill(0xa5), inside, skew);
        const packedB = packedA.slice();
        wasm.pack(width, placed(wasm, codes, inside, skew), packedA);
        plain.pack(width, codes, packedB);
        expect(bits(packedA)).toEqual(packedB);
        const unpackedA = placed(wasm, new Int8Array(codes.length), inside, skew);
        const unpackedB = new Int8Array(codes.length);
        wasm.unpack(width, signed, packedA, unpackedA);
        plain.unpack(width, signed, packedB, unpackedB);
        expect(bits(unpackedA)).toEqual(bits(unpackedB));
        const spare = 32 - width;
        expect([...unpackedB]).toEqual([...codes].map((code) => (signed ? (code << spare) >> spare : (code << spare) >>> spare)));
        wasm.arena.release(mark);
      }),
    );
  });
});

describe('transpose2d', () => {
  it('moves element (r, c) to (c, r)', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.nat(80), fc.constantFrom(1, 2, 4, 8), fc.boolean(), fc.boolean(), fc.nat(5), fc.boolean(), (rows, cols, width, from, to, skew, flip) => {
        const mark = wasm.arena.mark();
        const [r, c] = flip ? [cols, rows] : [rows, cols];
        const src = bits(randomWords(rows + cols, (r * c * width + 3) >> 2)).slice(0, r * c * width);
        const a = placed(wasm, new Uint8Array(src.length), to, skew);
        const b = new Uint8Array(src.length);
        wasm.transpose2d(placed(wasm, src, from, skew), a, r, c, width);
        plain.transpose2d(src, b, r, c, width);
        expect(firstDifference(bits(a), b)).toBe(-1);
        for (const [i, j] of [[0, 0], [r - 1, c - 1], [r >> 1, c >> 2]] as const) {
          if (i < 0 || j < 0 || src.length === 0) continue;
          expect(b.slice((j * r + i) * width, (j * r + i + 1) * width)).toEqual(src.slice((i * c + j) * width, (i * c + j + 1) * width));
        }
        wasm.arena.release(mark);
      }),
    );
  });
});

describe('transpose2d into a wider matrix', () => {
  it('fills its columns and leaves the others', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 70 }), fc.nat(9), fc.nat(9), fc.constantFrom(1, 2, 4, 8), fc.boolean(), fc.boolean(), (rows, cols, before, after, width, from, to) => {
        const mark = wasm.arena.mark();
        const stride = before + rows + after;
        const src = bits(randomWords(rows + cols, (rows * cols * width + 3) >> 2)).slice(0, rows * cols * width);
        const [a, b] = [placed(wasm, new Uint8Array(cols * stride * width).fill(7), to, 0), new Uint8Array(cols * stride * width).fill(7)];
        wasm.transpose2d(placed(wasm, src, from, 0), a, rows, cols, width, stride, before);
        plain.transpose2d(src, b, rows, cols, width, stride, before);
        expect(firstDifference(bits(a), b)).toBe(-1);
        const turned = new Uint8Array(src.length);
        plain.transpose2d(src, turned, rows, cols, width);
        for (let c = 0; c < cols; c++) {
          const row = b.slice(c * stride * width, (c + 1) * stride * width);
          expect(row.slice(before * width, (before + rows) * width)).toEqual(turned.slice(c * rows * width, (c + 1) * rows * width));
          expect([...row.slice(0, before * width), ...row.slice((before + rows) * width)].every((byte) => byte === 7)).toBe(true);
        }
        wasm.arena.release(mark);
      }),
    );
  });

  it('refuses columns that are not there', () => {
    for (const kernels of [wasm, plain]) expect(() => kernels.transpose2d(new Uint8Array(4), new Uint8Array(6), 2, 2, 1, 3, 2)).toThrow(/not among 3/);
  });
});

describe('statistics', () => {
  it('equal their plain twins', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyWord, anyWord), { maxLength: 40 }), fc.boolean(), fc.nat(3), (pairs, inside, skew) => {
        const mark = wasm.arena.mark();
        const a = asFloats(pairs.map(([word]) => word));
        const b = asFloats(pairs.map(([, word]) => word));
        const inA = placed(wasm, a, inside, skew);
        const inB = placed(wasm, b, inside, skew);
        expect(wasm.minMax(inA)).toEqual(plain.minMax(a));
        expect(wasm.absMax(inA)).toBe(plain.absMax(a));
        expect(wasm.argMax(inA)).toBe(plain.argMax(a));
        const errorsA = wasm.errorStats(inA, inB);
        const errorsB = plain.errorStats(a, b);
        expect(errorsA.maxError).toBe(errorsB.maxError);
        expect(errorsA.nonFinite).toBe(errorsB.nonFinite);
        expectClose(errorsA.sumSquares, errorsB.sumSquares);
        expectClose(errorsA.sumSquaredError, errorsB.sumSquaredError);
        wasm.arena.release(mark);
      }),
    );
  });

  it('cosine equals its plain twin', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.float({ noNaN: true, noDefaultInfinity: true })), { maxLength: 40 }), (pairs) => {
        const a = Float32Array.from(pairs.map(([x]) => x));
        const b = Float32Array.from(pairs.map(([, y]) => y));
        expect(Math.abs(wasm.cosine(a, b) - plain.cosine(a, b))).toBeLessThan(1e-12);
      }),
    );
    expect(wasm.cosine(Float32Array.of(1, 2), Float32Array.of(-2, -4))).toBe(-1);
    expect(wasm.cosine(Float32Array.of(0, 0), Float32Array.of(0, 0))).toBe(1);
    expect(wasm.cosine(Float32Array.of(0, 0), Float32Array.of(1, 0))).toBe(0);
  });

  it.each(both)('klDivergence ($name)', (kernels) => {
    const p = Float32Array.of(0, 0);
    const q = Float32Array.of(Math.log(3), 0);
    expect(kernels.klDivergence(p, q)).toBeCloseTo(0.5 * Math.log(0.5 / 0.75) + 0.5 * Math.log(0.5 / 0.25), 6);
    expect(kernels.klDivergence(q, q)).toBe(0);
    expect(kernels.klDivergence(Float32Array.of(1000, 999), Float32Array.of(-1000, -1001))).toBe(0);
    expect(kernels.klDivergence(Float32Array.of(0, 0), Float32Array.of(0, -Infinity))).toBe(Infinity);
    expect(kernels.klDivergence(Float32Array.of(0, -Infinity), Float32Array.of(0, 0))).toBeCloseTo(Math.LN2, 6);
    expect(kernels.klDivergence(Float32Array.of(0, NaN), Float32Array.of(0, 0))).toBeNaN();
  });

  it.each(both)('minMax, argMax and topK skip NaN ($name)', (kernels) => {
    const src = Float32Array.of(NaN, 3, -1, 3, NaN, 2);
    expect(kernels.minMax(src)).toEqual({ min: -1, max: 3 });
    expect(kernels.argMax(src)).toBe(1);
    expect([...kernels.topK(src, 3)]).toEqual([1, 3, 5]);
    expect([...kernels.topK(src, 9)]).toEqual([1, 3, 5, 2]);
    expect([...kernels.topK(src, 0)]).toEqual([]);
    expect(kernels.minMax(new Float32Array(0))).toEqual({ min: Infinity, max: -Infinity });
    expect(kernels.absMax(Float32Array.of(NaN))).toBe(0);
    expect(kernels.argMax(Float32Array.of(NaN))).toBe(-1);
    expect(kernels.argMax(Float32Array.of(NaN, -Infinity))).toBe(1);
  });

  it('topK is the head of a stable sort', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }), fc.nat(70), (values, k) => {
        const order = values.map((_, i) => i).sort((i, j) => values[j]! - values[i]! || i - j);
        expect([...plain.topK(Float32Array.from(values), k)]).toEqual(order.slice(0, k));
      }),
    );
  });
});

describe('arena', () => {
  it('aligns, releases and says when it is full', () => {
    const { arena } = plain;
    const mark = arena.mark();
    expect(arena.alloc(3).byteOffset % 16).toBe(0);
    expect(arena.alloc(1, 32).byteOffset % 32).toBe(0);
    expect(() => arena.alloc(64)).toThrow(KernelError);
    expect(() => arena.alloc(64)).toThrow(/has 16 bytes left, 64 were asked for/);
    arena.release(mark);
    expect(arena.free).toBe(64);
  });
});

function expectClose(a: number, b: number): void {
  if (Number.isFinite(b)) expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-12 * Math.abs(b));
  else expect(a).toBe(b);
}
