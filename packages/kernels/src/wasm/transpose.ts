/** Transposes by SIMD tiles, in place in the memory or panel by panel through the staging area. */
import type { Kernels } from '../kernels.js';
import { checkTranspose } from '../shared/check.js';
import { STAGE, STAGE_BYTES, type Instance } from './instance.js';

export function transposeKernel(instance: Instance): Kernels['transpose2d'] {
  return (src, dst, rows, cols, width, stride = rows, at = 0) => {
    checkTranspose(src, dst, rows, cols, width, stride, at);
    const { exports } = instance;
    const srcInside = instance.holds(src);
    const dstInside = instance.holds(dst);
    const half = STAGE_BYTES / 2;
    const panel = width === 8 ? 128 : 256; // panel² · width fits half the staging area
    for (let r = 0; r < rows; r += panel) {
      const height = Math.min(panel, rows - r);
      for (let c = 0; c < cols; c += panel) {
        const breadth = Math.min(panel, cols - c);
        let from = src.byteOffset + (r * cols + c) * width;
        let to = dst.byteOffset + (c * stride + at + r) * width;
        if (!srcInside) {
          from = STAGE;
          const stage = instance.bytes(STAGE, half);
          for (let i = 0; i < height; i++) {
            const start = ((r + i) * cols + c) * width;
            stage.set(src.subarray(start, start + breadth * width), i * breadth * width);
          }
        }
        if (!dstInside) to = STAGE + half;
        exports.transpose2d(width, from, to, height, breadth, srcInside ? cols : breadth, dstInside ? stride : height);
        if (!dstInside) {
          for (let i = 0; i < breadth; i++) {
            dst.set(instance.bytes(to + i * height * width, height * width), ((c + i) * stride + at + r) * width);
          }
        }
      }
    }
  };
}
