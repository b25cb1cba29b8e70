/** Half-float casts by SIMD, 8- and 4-bit floats by table; the rest is fast enough in plain code. */
import type { Kernels } from '../kernels.js';
import * as plain from '../plain/cast.js';
import { isSmallFloat } from '../plain/small-float.js';
import { checkCast } from '../shared/check.js';
import { encodeTable } from '../shared/encode-table.js';
import { eachChunk } from './elements.js';
import type { Instance } from './instance.js';

export function castKernels(instance: Instance): Pick<Kernels, 'toFloat32' | 'fromFloat32'> {
  const { exports } = instance;
  return {
    toFloat32(dtype, src, dst) {
      if (dtype !== 'float16' && dtype !== 'bfloat16') return plain.toFloat32(dtype, src, dst);
      checkCast(dtype, src, dst);
      const kernel = dtype === 'float16' ? exports.float16ToFloat32 : exports.bfloat16ToFloat32;
      eachChunk(instance, kernel, src.length, src, 16, dst, 32, true);
    },
    fromFloat32(dtype, src, dst, options = {}) {
      if (dtype === 'float16' || dtype === 'bfloat16') {
        checkCast(dtype, dst, src);
        const narrow = dtype === 'float16' ? exports.float32ToFloat16 : exports.float32ToBfloat16;
        const saturate = options.saturate ? 1 : 0;
        eachChunk(instance, (a, b, n) => narrow(a, b, n, saturate), src.length, src, 32, dst, 16, true);
      } else if (isSmallFloat(dtype)) {
        checkCast(dtype, dst, src);
        const table = encodeTable(dtype, options.saturate ?? false);
        const words = new Uint32Array(src.buffer, src.byteOffset, src.length);
        const codes = dst as Uint8Array;
        for (let i = 0; i < words.length; i++) {
          const word = words[i]!;
          codes[i] = table[(word >>> 16) | (word & 0xffff ? 1 : 0)]!;
        }
      } else plain.fromFloat32(dtype, src, dst, options);
    },
  };
}
