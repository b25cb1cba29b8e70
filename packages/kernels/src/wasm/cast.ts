/** Casts of half floats and bytes by SIMD, 8- and 4-bit floats by table; the rest is fast enough in plain code. */
import type { Kernels, NumberDType } from '../kernels.js';
import * as plain from '../plain/cast.js';
import { isSmallFloat } from '../plain/small-float.js';
import { checkCast } from '../shared/check.js';
import { encodeTable } from '../shared/encode-table.js';
import { eachChunk } from './elements.js';
import type { Instance } from './instance.js';

/** Kernels of one type; integers always saturate. */
interface Row {
  readonly bits: number;
  readonly widen: (src: number, dst: number, count: number) => void;
  readonly narrow: (src: number, dst: number, count: number, saturate: number) => void;
}

export function castKernels(instance: Instance): Pick<Kernels, 'toFloat32' | 'fromFloat32'> {
  const { exports } = instance;
  const rows: Partial<Record<NumberDType, Row>> = {
    float16: { bits: 16, widen: exports.float16ToFloat32, narrow: exports.float32ToFloat16 },
    bfloat16: { bits: 16, widen: exports.bfloat16ToFloat32, narrow: exports.float32ToBfloat16 },
    int8: { bits: 8, widen: exports.int8ToFloat32, narrow: exports.float32ToInt8 },
    uint8: { bits: 8, widen: exports.uint8ToFloat32, narrow: exports.float32ToUint8 },
  };
  return {
    toFloat32(dtype, src, dst) {
      const row = rows[dtype];
      if (!row) return plain.toFloat32(dtype, src, dst);
      checkCast(dtype, src, dst);
      eachChunk(instance, row.widen, src.length, src, row.bits, dst, 32, true);
    },
    fromFloat32(dtype, src, dst, options = {}) {
      const row = rows[dtype];
      if (row) {
        checkCast(dtype, dst, src);
        const saturate = options.saturate ? 1 : 0;
        eachChunk(instance, (a, b, n) => row.narrow(a, b, n, saturate), src.length, src, 32, dst, row.bits, true);
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
