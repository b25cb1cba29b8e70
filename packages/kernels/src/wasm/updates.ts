/** Steps of optimizers by SIMD. What lies outside the memory is staged piece by piece, which stays in the second-level cache. */
import type { UpdateKernels } from '../kernels.js';
import { checkSameLength } from '../shared/check.js';
import { dropThreshold } from '../shared/drop-threshold.js';
import { type Instance, JOB, STAGE, STAGE_BYTES, CHUNK } from './instance.js';

/** An array of a step, and whether it is changed. */
type Operand = readonly [array: Float32Array, written: boolean];

export function updateKernels(instance: Instance): UpdateKernels {
  const { exports, buffer } = instance;
  const sum = new Float64Array(buffer, JOB, 1);

  /** Calls `kernel` with the places of pieces of all arrays, which are of one length, and the number of their first element. */
  function each(operands: readonly Operand[], kernel: (places: readonly number[], count: number, first: number) => void): void {
    const length = operands[0]![0].length;
    for (const [array] of operands) checkSameLength(operands[0]![0], array);
    const room = Math.floor(STAGE_BYTES / operands.length / 16) * 16;
    const step = Math.min(CHUNK, room / 4);
    const staged = operands.map(([array], i) => (instance.holds(array) ? undefined : new Float32Array(buffer, STAGE + i * room, room / 4)));
    for (let begin = 0; begin < length; begin += step) {
      const count = Math.min(step, length - begin);
      const places = operands.map(([array], i) => {
        const stage = staged[i];
        if (!stage) return array.byteOffset + begin * 4;
        stage.set(array.subarray(begin, begin + count));
        return stage.byteOffset;
      });
      kernel(places, count, begin);
      operands.forEach(([array, written], i) => {
        const stage = staged[i];
        if (written && stage) array.set(stage.subarray(0, count), begin);
      });
    }
  }

  return {
    adamW({ weights, gradients, mean, square, keep, size, beta1, beta2, correction, epsilon }) {
      each([[weights, true], [gradients, false], [mean, true], [square, true]], ([w, g, m, v], count) => exports.adamW(w!, g!, m!, v!, count, keep, size, beta1, 1 - beta1, beta2, 1 - beta2, correction, epsilon));
    },
    lion({ weights, gradients, mean, rate, decay, beta1, beta2 }) {
      each([[weights, true], [gradients, false], [mean, true]], ([w, g, m], count) => exports.lion(w!, g!, m!, count, rate, decay, beta1, 1 - beta1, beta2, 1 - beta2));
    },
    momentum({ weights, gradients, velocity, rate, decay, momentum, nesterov }) {
      each([[weights, true], [gradients, false], [velocity, true]], ([w, g, v], count) => exports.momentum(w!, g!, v!, count, rate, decay, momentum, nesterov ? 1 : 0));
    },
    blend: (a, b, keep, share) => each([[a, true], [b, false]], ([x, y], count) => exports.blend(x!, y!, count, keep, share)),
    holdZeros: (gradients, weights) => each([[gradients, true], [weights, false]], ([g, w], count) => exports.holdZeros(g!, w!, count)),
    dropMask: (mask, key, rate) => each([[mask, true]], ([m], count, first) => exports.dropMask(m!, count, first, key, dropThreshold(rate), 1 / (1 - rate))),
    sumSquares(x) {
      sum[0] = 0;
      each([[x, false]], ([at], count) => exports.sumSquares(at!, count, JOB));
      return sum[0];
    },
  };
}
