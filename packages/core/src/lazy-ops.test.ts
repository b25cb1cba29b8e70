import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from './bytes.js';
import { denseOf } from './builder.js';
import * as build from './expr/build.js';
import type { TensorExpr } from './expr/tensor-expr.js';
import { lazy } from './lazy-ops.js';
import { LazyTensor } from './lazy.js';
import { DenseTensor, SparseTensor, type Tensor } from './tensor.js';

const source = (shape: readonly number[], dtype: 'float32' | 'bfloat16' = 'float32'): TensorExpr => build.source('s', 0, dtype, shape);
const exprOf = (tensor: Tensor): TensorExpr => (tensor as LazyTensor).expr;
const permutations = fc.integer({ min: 1, max: 4 }).chain((rank) => {
  const axes = Array.from({ length: rank }, (_, i) => i);
  return fc.tuple(fc.shuffledSubarray(axes, { minLength: rank }), fc.shuffledSubarray(axes, { minLength: rank }), fc.array(fc.integer({ min: 1, max: 4 }), { minLength: rank, maxLength: rank }));
});

describe('expressions cancel what undoes itself', () => {
  test('a permutation and its inverse, through casts too', () => {
    fc.assert(fc.property(permutations, fc.boolean(), ([perm, other, shape], half) => {
      const start = source(shape, 'bfloat16');
      const inverse = perm.map((_, axis) => perm.indexOf(axis));
      const turned = build.transpose(half ? build.cast(start, 'float32') : start, perm);
      expect(build.transpose(turned, inverse)).toEqual(half ? build.cast(start, 'float32') : start);
      // Two transposes are one.
      const twice = build.transpose(build.transpose(start, perm), other);
      expect(twice).toEqual(build.transpose(start, other.map((axis) => perm[axis]!)));
      expect(twice.shape).toEqual(other.map((axis) => shape[perm[axis]!]));
    }));
  });

  test('only casts that lost nothing', () => {
    const half = source([2], 'bfloat16');
    expect(build.cast(build.cast(half, 'float32'), 'bfloat16')).toBe(half);
    const full = source([2]);
    expect(build.cast(build.cast(full, 'bfloat16'), 'float32').op).toBe('cast');
    expect(build.cast(build.cast(half, 'float16'), 'bfloat16').op).toBe('cast');
    expect(build.cast(full, 'float32')).toBe(full);
  });

  test('reshapes of reshapes, and of ranges', () => {
    const turned = build.transpose(source([2, 6]), [1, 0]);
    expect(build.reshape(build.reshape(turned, [3, 4]), [6, 2])).toBe(turned);
    expect(build.reshape(source([2, 6]), [12])).toEqual(source([12]));
  });
});

describe('expressions are checked when they are made', () => {
  const scheme = { bits: 4, blockSize: 32, symmetric: false, layout: 'nbits' } as const;
  const matrix = source([2, 64]);
  const { values, scales, zeroPoints } = build.quantize(matrix, scheme);
  test.each<[string, () => unknown]>([
    ['a place before the file', () => build.source('s', -4, 'float32', [1])],
    ['too many elements', () => build.fill('float32', [2 ** 30, 2 ** 30], 0)],
    ['constant of other bytes', () => build.constant('float32', [2], new Uint8Array(4))],
    ['reshape of another size', () => build.reshape(matrix, [3])],
    ['no permutation', () => build.transpose(matrix, [0, 0])],
    ['permutation of another rank', () => build.transpose(matrix, [0])],
    ['slice outside', () => build.slice(matrix, [1, 0], [2, 64])],
    ['slice between elements', () => build.slice(matrix, [0, 0.5], [1, 2])],
    ['nothing to concatenate', () => build.concat([], 0)],
    ['concatenation of other widths', () => build.concat([matrix, source([2, 63])], 0)],
    ['gather by floats', () => build.gather(matrix, source([2]))],
    ['no product', () => build.matmul(matrix, source([3, 2]))],
    ['no broadcast', () => build.add(matrix, source([3]))],
    ['mask larger than its input', () => build.mask(source([1]), build.source('s', 0, 'bool', [2]))],
    ['blocks of a vector', () => build.quantize(source([64]), scheme)],
    ['blocks of half bytes', () => build.quantize(matrix, { ...scheme, blockSize: 1 })],
    ['empty blocks', () => build.quantize(matrix, { ...scheme, blockSize: 0 })],
    ['values of another matrix', () => build.dequantize({ values, scales, scheme, shape: [2, 128] })],
    ['scales of another scheme', () => build.dequantize({ values, scales: source([2, 1]), scheme, shape: [2, 64] })],
    ['zero points of another layout', () => build.dequantize({ values, scales, zeroPoints: source([2, 2]), scheme, shape: [2, 64] })],
  ])('%s', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
  });

  test('bits of another type', () => {
    const words = build.source('s', 8, 'int32', [3, 5]);
    expect(build.bitcast(words, 'uint4')).toEqual(build.source('s', 8, 'uint4', [3, 40]));
    const turned = build.transpose(words, [1, 0]);
    expect(build.bitcast(build.bitcast(turned, 'uint4'), 'int32')).toBe(turned);
    expect(() => build.bitcast(build.transpose(build.source('s', 0, 'uint4', [3, 5]), [1, 0]), 'uint8')).toThrow(/rows must be whole/);
    expect(() => build.bitcast(build.transpose(build.source('s', 0, 'uint4', [4, 4]), [1, 0]), 'uint2')).toThrow(/uint4 cannot be read as uint2/);
  });

  test('types', () => {
    expect(() => build.quantize(matrix, scheme, 'bfloat16')).toThrow(/float32 or float16/);
    expect(() => build.mask(matrix, matrix)).toThrow(/bool or uint8/);
    expect(build.dequantize({ values, scales, zeroPoints, scheme, shape: [2, 64] }).shape).toEqual([2, 64]);
    expect(() => build.constant('uint8', [2 ** 20 + 1], new Uint8Array(2 ** 20 + 1))).toThrow(/spill/);
  });
});

describe('lazy', () => {
  test('small tensors become constants, large ones memory sources', async () => {
    const small = lazy.cast(denseOf('float32', [2], [1, 2]), 'float64');
    expect([exprOf(small).op, (small as LazyTensor).sources.size]).toEqual(['cast', 0]);
    const large = new DenseTensor('uint8', [2 ** 20 + 8], Uint8Array.from({ length: 2 ** 20 + 8 }, (_, i) => i));
    const part = lazy.slice(large, [2 ** 20 + 4], [4]);
    expect((part as LazyTensor).sources.size).toBe(1);
    expect([...(await part.load())]).toEqual([4, 5, 6, 7]);
  });

  test('sources of all operands are kept', async () => {
    const [a, b] = [1, 2].map((value) => lazy.source(memorySource(new Uint8Array(Float32Array.of(value, value).buffer)), 0, 'float32', [2]));
    const sum = lazy.concat([lazy.add(a!, b!), lazy.multiply(a!, b!), lazy.fill('float32', [1], 7)], 0);
    expect([...new Float32Array((await sum.load()).slice().buffer)]).toEqual([3, 3, 2, 2, 7]);
  });

  test('what cannot be edited is refused', () => {
    const sparse = new SparseTensor([2], new DenseTensor('float32', [0], new Uint8Array()), new DenseTensor('int64', [0], new Uint8Array()));
    expect(() => lazy.reshape(sparse, [1, 2])).toThrow(/sparse tensors cannot be edited/);
    expect(() => new LazyTensor(source([2]), new Map())).toThrow(expect.objectContaining({ code: 'E_SOURCE' }));
  });
});

test('small tensors of half bytes are read right at the first time', async () => {
  const codes = new DenseTensor('int4', [2, 4], Uint8Array.of(0x10, 0x32, 0x54, 0x76));
  expect([...(await lazy.transpose(codes, [1, 0]).load())]).toEqual([0x40, 0x51, 0x62, 0x73]);
});
