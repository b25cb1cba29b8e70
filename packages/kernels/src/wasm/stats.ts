/** Ranges, errors and similarities by SIMD; what lives on Math.exp stays plain. */
import type { Kernels } from '../kernels.js';
import * as plain from '../plain/stats.js';
import { checkSameLength } from '../shared/check.js';
import { eachChunk, type Pair } from './elements.js';
import { JOB, type Instance } from './instance.js';

type StatsKernels = Pick<Kernels, 'minMax' | 'absMax' | 'errorStats' | 'klDivergence' | 'cosine' | 'argMax' | 'topK'>;

export function statsKernels(instance: Instance): StatsKernels {
  const { exports } = instance;
  const range = new Float32Array(instance.buffer, JOB, 2);
  const sums = new Float64Array(instance.buffer, JOB, 4);

  function minMax(src: Float32Array): { min: number; max: number } {
    range[0] = Infinity;
    range[1] = -Infinity;
    eachChunk(instance, (a, _, n) => exports.minMax(a, n, JOB), src.length, src, 32, src, 32, false);
    return { min: range[0] + 0, max: range[1] + 0 }; // no negative zero
  }

  function sum(a: Float32Array, b: Float32Array, kernel: Pair): void {
    checkSameLength(a, b);
    sums.fill(0);
    eachChunk(instance, kernel, a.length, a, 32, b, 32, false);
  }

  return {
    minMax,
    absMax(src) {
      const { min, max } = minMax(src);
      return max < min ? 0 : Math.max(-min, max);
    },
    errorStats(a, b) {
      sum(a, b, (x, y, n) => exports.errorStats(x, y, n, JOB));
      return { sumSquares: sums[0]!, sumSquaredError: sums[1]!, maxError: sums[2]!, nonFinite: sums[3]! };
    },
    cosine(a, b) {
      sum(a, b, (x, y, n) => exports.products(x, y, n, JOB));
      return plain.cosineOf(sums[0]!, sums[1]!, sums[2]!);
    },
    argMax(src) {
      const { max } = minMax(src);
      return src.indexOf(max);
    },
    klDivergence: plain.klDivergence,
    topK: plain.topK,
  };
}
