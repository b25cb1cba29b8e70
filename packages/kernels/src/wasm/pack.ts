/** Packing and unpacking by SIMD. */
import type { Kernels } from '../kernels.js';
import { checkPacked } from '../shared/check.js';
import { eachChunk } from './elements.js';
import type { Instance } from './instance.js';

export function packKernels(instance: Instance): Pick<Kernels, 'pack' | 'unpack'> {
  const { exports } = instance;
  return {
    pack(bits, src, dst) {
      checkPacked(bits, src.length, dst);
      eachChunk(instance, (a, b, n) => exports.pack(bits, a, b, n), src.length, src, 8, dst, bits, true);
    },
    unpack(bits, signed, src, dst) {
      checkPacked(bits, dst.length, src);
      eachChunk(instance, (a, b, n) => exports.unpack(bits, signed ? 1 : 0, a, b, n), dst.length, src, bits, dst, 8, true);
    },
  };
}
