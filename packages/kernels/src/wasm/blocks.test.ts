/** Block quantization and dequantization in WebAssembly against their plain twins. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWord, asFloats, bits, canonical, firstDifference, placed, randomWords, weightWord } from '../../test/arbitraries.js';
import type { BlockStats, GridBits, GridFit, Kernels, QuantizeBlocksArgs, SourceDType } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 0 });

const scheme = fc.record({
  rows: fc.integer({ min: 1, max: 4 }),
  cols: fc.integer({ min: 1, max: 150 }),
  bits: fc.constantFrom(2 as const, 4 as const, 8 as const),
  blockSize: fc.constantFrom<number>(4, 8, 16, 24, 32, 64, 128, 256),
  symmetric: fc.boolean(),
  layout: fc.constantFrom('nbits' as const, 'linear' as const),
  srcDtype: fc.constantFrom<SourceDType>('float32', 'float16', 'bfloat16'),
  scaleDtype: fc.constantFrom('float32' as const, 'float16' as const),
  stats: fc.boolean(),
  gridBits: fc.constantFrom(2 as const, 3 as const, 4 as const, 8 as const),
  fit: fc.constantFrom('range' as const, 'squares' as const, 'half-quadratic' as const),
  inside: fc.boolean(),
  skew: fc.nat(3),
});
type Drawn = typeof scheme extends fc.Arbitrary<infer T> ? T : never;
type Scheme = Omit<Drawn, 'gridBits' | 'fit'> & Partial<Pick<Drawn, 'gridBits' | 'fit'>>;

/** Blocks of one kind each: any bits, weights, zeros of both signs, values on the grid and its ties, one edge among weights. */
const blockKind = fc.constantFrom('any', 'weights', 'zeros', 'ties', 'edge');
const source = fc.tuple(fc.array(blockKind, { minLength: 1, maxLength: 8 }), fc.integer(), anyWord, weightWord);

function words(count: number, blockSize: number, [kinds, seed, edge, unit]: [string[], number, number, number]): Uint32Array {
  const random = randomWords(seed, count);
  const step = asFloats([unit])[0]! / 16;
  return random.map((word, i) => {
    const kind = kinds[Math.floor(i / blockSize) % kinds.length];
    const weight = (word & 0x80ffffff) | 0x3c000000;
    if (kind === 'zeros') return word & 0x80000000;
    if (kind === 'ties') return new Uint32Array(Float32Array.of(((word % 65) - 32) * step).buffer)[0]!;
    if (kind === 'weights') return weight;
    if (kind === 'edge') return word % 7 === 0 ? edge : weight;
    return word;
  });
}

function makeArgs(kernels: Kernels, s: Scheme, data: Uint32Array): QuantizeBlocksArgs {
  const { rows, cols, bits, blockSize, symmetric, layout, srcDtype, scaleDtype, stats, fit } = s;
  const blocks = Math.ceil(cols / blockSize);
  const put = <T extends Uint8Array | Uint16Array | Float32Array>(array: T): T => placed(kernels, array, s.inside && kernels === wasm, s.skew);
  let src: Float32Array | Uint16Array = asFloats(data);
  if (srcDtype !== 'float32') {
    const half = new Uint16Array(src.length);
    plain.fromFloat32(srcDtype, src, half);
    src = half;
  }
  const nbits = layout === 'nbits';
  return {
    rows, cols, bits, blockSize, symmetric, layout, srcDtype, scaleDtype, stats, ...(fit && { fit }), gridBits: Math.min(s.gridBits ?? bits, bits) as GridBits,
    src: put(src),
    values: put(new Uint8Array(rows * (nbits ? (blocks * blockSize * bits) / 8 : cols)).fill(0xa5)),
    scales: put(scaleDtype === 'float32' ? new Float32Array(rows * blocks) : new Uint16Array(rows * blocks)),
    zeroPoints: symmetric ? undefined : put(new Uint8Array(rows * (nbits ? Math.ceil((blocks * bits) / 8) : blocks)).fill(0xa5)),
  };
}

function expectClose(a: BlockStats, b: BlockStats): void {
  expect(a.nonFinite).toBe(b.nonFinite);
  for (const key of ['sumSquares', 'sumSquaredError', 'maxError'] as const) {
    if (Number.isFinite(b[key])) expect(Math.abs(a[key] - b[key])).toBeLessThanOrEqual(1e-5 * b[key]);
    else expect(a[key]).toBe(b[key]);
  }
}

/** Quantizes and dequantizes with both and compares everything. */
function expectEqual(s: Scheme, data: Uint32Array): void {
  const mark = wasm.arena.mark();
  const a = makeArgs(wasm, s, data);
  const b = makeArgs(plain, s, data);
  const statsA = wasm.quantizeBlocks(a);
  const statsB = plain.quantizeBlocks(b);
  expect(firstDifference(bits(a.scales), bits(b.scales))).toBe(-1);
  expect(firstDifference(bits(a.values), bits(b.values))).toBe(-1);
  if (a.zeroPoints && b.zeroPoints) expect(firstDifference(bits(a.zeroPoints), bits(b.zeroPoints))).toBe(-1);
  expectClose(statsA, statsB);

  const scales = new Float32Array(b.scales.length);
  plain.toFloat32(s.scaleDtype, b.scales, scales);
  expect(scales.some(Number.isNaN)).toBe(false);

  const dstA = placed(wasm, new Float32Array(data.length), s.inside, s.skew);
  const dstB = new Float32Array(data.length);
  wasm.dequantizeBlocks({ ...a, dst: dstA });
  plain.dequantizeBlocks({ ...b, dst: dstB });
  expect(firstDifference(canonical(dstA), canonical(dstB))).toBe(-1);
  wasm.arena.release(mark);
}

describe('quantizeBlocks and dequantizeBlocks', () => {
  it('equal their plain twins', () => {
    fc.assert(
      fc.property(scheme, source, (s, kind) => expectEqual(s, words(s.rows * s.cols, s.blockSize, kind))),
      { numRuns: 3000 },
    );
  });

  it('equal them over many groups of blocks too', () => {
    fc.assert(
      fc.property(scheme, fc.integer({ min: 2000, max: 9000 }), fc.boolean(), source, (s, size, whole, kind) => {
        const cols = whole ? size - (size % s.blockSize) : size;
        expectEqual({ ...s, cols, rows: 2 }, words(2 * cols, s.blockSize, kind));
      }),
      { numRuns: 60 },
    );
  });

  it('counts NaN as 0, clips infinities, keeps them out of the range and the sums', () => {
    const src = Float32Array.of(NaN, 1, -2, Infinity, -Infinity, 0.5, 0, 0);
    for (const kernels of [wasm, plain]) {
      const values = new Uint8Array(8);
      const scales = new Float32Array(1);
      const stats = kernels.quantizeBlocks({
        src, srcDtype: 'float32', rows: 1, cols: 8, bits: 4, blockSize: 8, symmetric: true, layout: 'linear', values, scales, scaleDtype: 'float32',
      });
      expect([...new Int8Array(values.buffer)]).toEqual([0, 4, -8, 7, -8, 2, 0, 0]);
      expect(scales[0]).toBe(0.25);
      expect(stats).toEqual({ sumSquares: 5.25, sumSquaredError: 0, maxError: 0, nonFinite: 3 });
    }
  });

  it('does rows beyond the staging area, in and out of the arena', () => {
    const s: Scheme = {
      rows: 2, cols: 200_000, bits: 4, blockSize: 32, symmetric: false, layout: 'nbits', srcDtype: 'bfloat16', scaleDtype: 'float32',
      stats: true, inside: false, skew: 0,
    };
    const data = words(s.rows * s.cols, 32, [['weights'], 3, 0, 0x3f800000]);
    const b = makeArgs(plain, s, data);
    plain.quantizeBlocks(b);
    for (const inside of [false, true]) {
      const mark = wasm.arena.mark();
      const a = makeArgs(wasm, { ...s, inside }, data);
      wasm.quantizeBlocks(a);
      expect(firstDifference(bits(a.values), bits(b.values))).toBe(-1);
      wasm.arena.release(mark);
    }
  });

  it('takes blocks far longer than the rows', () => {
    const s: Scheme = {
      rows: 2, cols: 100, bits: 4, blockSize: 2 ** 40, symmetric: true, layout: 'linear', srcDtype: 'float32', scaleDtype: 'float32',
      stats: true, inside: true, skew: 0,
    };
    expectEqual(s, words(200, 100, [['weights'], 5, 0, 0x3f800000]));
    expectEqual({ ...s, layout: 'nbits', blockSize: 4096 }, words(200, 100, [['weights'], 6, 0, 0x3f800000]));
  });

  it.each([true, false])('fits grids of 3 bits in codes of 4 better than their ranges, symmetric %s', (symmetric) => {
    const s: Scheme = { rows: 4, cols: 1000, bits: 4, gridBits: 3, blockSize: 64, symmetric, layout: 'nbits', srcDtype: 'float32', scaleDtype: 'float32', stats: true, inside: false, skew: 0 };
    const data = asFloats(words(4000, 64, [['weights'], 9, 0, 0x3f800000])).map((x, i) => (i % 50 === 0 ? 8 * x : x));
    const restored = (fit: GridFit): { dst: Float32Array; error: number } => {
      const args = { ...makeArgs(plain, { ...s, fit }, new Uint32Array(data.buffer)) };
      const error = plain.quantizeBlocks(args).sumSquaredError;
      const dst = new Float32Array(4000);
      const codes = new Uint8Array(args.values.length * 2);
      plain.unpack(4, false, args.values, codes);
      if (symmetric) codes.forEach((code, i) => i % 1024 < 1000 && expect(code >= 4 && code <= 11).toBe(true));
      else codes.forEach((code, i) => i % 1024 < 1000 && expect(code).toBeLessThan(8));
      plain.dequantizeBlocks({ ...args, dst });
      return { dst, error };
    };
    const power = ({ dst }: { dst: Float32Array }): number => dst.reduce((sum, x, i) => sum + Math.abs(x - data[i]!) ** 0.75, 0);
    const range = restored('range');
    const squares = restored('squares');
    expect(squares.error).toBeLessThan(0.9 * range.error);
    expect(power(restored('half-quadratic'))).toBeLessThan(0.95 * power(range));
  });

  it('refuses sizes that do not fit', () => {
    const args = makeArgs(plain, { rows: 2, cols: 64, bits: 4, blockSize: 32, symmetric: true, layout: 'nbits', srcDtype: 'float32', scaleDtype: 'float32', stats: true, inside: false, skew: 0 }, new Uint32Array(128));
    for (const kernels of [wasm, plain]) {
      expect(() => kernels.quantizeBlocks({ ...args, rows: 3 })).toThrow(/floats: 192 elements expected, got 128/);
      expect(() => kernels.quantizeBlocks({ ...args, values: new Uint8Array(63) })).toThrow(/values: 64/);
      expect(() => kernels.quantizeBlocks({ ...args, symmetric: false })).toThrow(/zeroPoints: 2/);
      expect(() => kernels.quantizeBlocks({ ...args, blockSize: 0 })).toThrow(/a block of 0/);
      expect(() => kernels.quantizeBlocks({ ...args, gridBits: 8 })).toThrow(/a grid of 8 bits in codes of 4/);
      expect(() => kernels.quantizeBlocks({ ...args, fit: 'best' as GridFit })).toThrow(/no fit of grids is called best/);
      expect(() => kernels.quantizeBlocks({ ...args, blockSize: 512, values: new Uint8Array(512), scales: new Float32Array(2), fit: 'squares' })).toThrow(/only up to 256/);
      expect(() => kernels.quantizeBlocks({ ...args, srcDtype: 'bfloat16' })).toThrow(/bfloat16 needs a Uint16Array/);
    }
  });
});
