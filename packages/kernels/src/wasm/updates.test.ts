/** Steps of optimizers in WebAssembly against their plain twins, bit for bit. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWord, asFloats, canonical, firstDifference, placed, randomWords, weightWord } from '../../test/arbitraries.js';
import type { UpdateKernels } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 0 });

type Step = (kernels: UpdateKernels, arrays: readonly [Float32Array, Float32Array, Float32Array, Float32Array]) => void;

const steps: Readonly<Record<string, Step>> = {
  adamW(kernels, [weights, gradients, mean, square]) {
    square.forEach((value, i) => (square[i] = Math.abs(value)));
    kernels.adamW({ weights, gradients, mean, square, keep: 0.999, size: 0.01, beta1: 0.9, beta2: 0.999, correction: 3, epsilon: 1e-8 });
  },
  lion: (kernels, [weights, gradients, mean]) => kernels.lion({ weights, gradients, mean, rate: 0.1, decay: 0.01, beta1: 0.9, beta2: 0.99 }),
  momentum: (kernels, [weights, gradients, velocity]) => kernels.momentum({ weights, gradients, velocity, rate: 0.1, decay: 0.01, momentum: 0.9, nesterov: false }),
  nesterov: (kernels, [weights, gradients, velocity]) => kernels.momentum({ weights, gradients, velocity, rate: 0.1, decay: 0, momentum: 0.9, nesterov: true }),
  blend: (kernels, [a, b]) => kernels.blend(a, b, 0.9, -0.1),
  holdZeros: (kernels, [gradients, weights]) => kernels.holdZeros(gradients, weights),
};

describe.each(Object.entries(steps))('%s', (_, step) => {
  it('equals its plain twin, in the arena and outside', () => {
    const word = fc.oneof(anyWord, weightWord);
    fc.assert(fc.property(fc.array(fc.tuple(word, word, word, word), { maxLength: 40 }), fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()), fc.nat(3), (rows, inside, skew) => {
      const mark = wasm.arena.mark();
      const arrays = [0, 1, 2, 3].map((column) => asFloats(rows.map((row) => row[column]!))) as [Float32Array, Float32Array, Float32Array, Float32Array];
      const got = arrays.map((array, i) => placed(wasm, array.slice(), inside[i]!, skew)) as typeof arrays;
      step(plain, arrays);
      step(wasm, got);
      arrays.forEach((array, i) => expect(firstDifference(canonical(got[i]!), canonical(array))).toBe(-1));
      wasm.arena.release(mark);
    }));
  });

  it('equals it over more than one piece', () => {
    const arrays = [0, 1, 2, 3].map((seed) => asFloats(randomWords(seed + 1, 200_003).map((each) => (each & 0x807fffff) | 0x3f000000))) as unknown as [Float32Array, Float32Array, Float32Array, Float32Array];
    const got = arrays.map((array) => array.slice()) as unknown as typeof arrays;
    step(plain, arrays);
    step(wasm, got);
    arrays.forEach((array, i) => expect(firstDifference(got[i]!, array)).toBe(-1));
  });

  it.each([wasm, plain])('refuses sizes that do not fit ($name)', (kernels) => {
    expect(() => step(kernels, [new Float32Array(4), new Float32Array(3), new Float32Array(4), new Float32Array(4)])).toThrow(/4 and 3/);
  });
});

describe('masks of dropout', () => {
  it('are the same in the arena and outside, over more than one piece', () => {
    fc.assert(fc.property(fc.nat(70), fc.nat(2 ** 32 - 1), fc.constantFrom(0, 0.1, 0.5, 0.99), fc.boolean(), (length, key, rate, inside) => {
      const mark = wasm.arena.mark();
      const [wanted, got] = [new Float32Array(length), placed(wasm, new Float32Array(length), inside, 1)];
      plain.dropMask(wanted, key, rate);
      wasm.dropMask(got, key, rate);
      expect(firstDifference(got, wanted)).toBe(-1);
      wasm.arena.release(mark);
    }));
    const [wanted, got] = [new Float32Array(300_003), new Float32Array(300_003)];
    plain.dropMask(wanted, 0xdeadbeef, 0.3);
    wasm.dropMask(got, 0xdeadbeef, 0.3);
    expect(firstDifference(got, wanted)).toBe(-1);
  });

  it('drop the share that is asked for, another part for each key, and keep the mean', () => {
    const masks = [1, 2, 3].map((key) => {
      const mask = new Float32Array(100_000);
      wasm.dropMask(mask, key, 0.1);
      return mask;
    });
    for (const mask of masks) {
      expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / 0.9)]));
      // four deviations of a share of 100,000
      expect(Math.abs(mask.filter((value) => value === 0).length / 1e5 - 0.1)).toBeLessThan(0.004);
      const pairs = mask.filter((value, i) => value === 0 && mask[i + 1] === 0).length;
      expect(Math.abs(pairs / 1e5 - 0.01)).toBeLessThan(0.0013);
    }
    const both = masks[0]!.filter((value, i) => value === 0 && masks[1]![i] === 0).length;
    expect(Math.abs(both / 1e5 - 0.01)).toBeLessThan(0.0013);
  });
});

it('sums squares in double precision', () => {
  const x = Float32Array.from({ length: 100_003 }, (_, i) => Math.sin(i) * 1e4);
  const wanted = x.reduce((sum, value) => sum + value * value, 0);
  for (const kernels of [wasm, plain]) expect(Math.abs(kernels.sumSquares(x) / wanted - 1)).toBeLessThan(1e-12);
  for (const kernels of [wasm, plain]) expect(kernels.sumSquares(Float32Array.of(3, NaN))).toBeNaN();
});
