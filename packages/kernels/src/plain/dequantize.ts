/** From block codes back to float32. */
import type { DequantizeBlocksArgs } from '../kernels.js';
import { checkBlocks } from '../shared/check.js';
import { float16ToBits, floatOf } from './half.js';

export function dequantizeBlocks(args: DequantizeBlocksArgs): void {
  const { rows, cols, bits, blockSize, symmetric, layout, values, scales, scaleDtype, zeroPoints, dst } = args;
  const { blocks, valueBytes, zeroBytes } = checkBlocks(args, 'float32', dst);
  const packed = layout === 'nbits';
  const signed = !packed && symmetric;
  const width = packed ? bits : 8; // bits that one code takes
  const perByte = 8 / width;
  const mask = (1 << width) - 1;
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const raw = scales[row * blocks + block]!;
      const scale = scaleDtype === 'float32' ? raw : floatOf(float16ToBits(raw));
      let zeroPoint = signed ? 0 : 2 ** (bits - 1);
      if (zeroPoints !== undefined && !symmetric) {
        const at = row * zeroBytes + Math.floor(block / perByte);
        zeroPoint = (zeroPoints[at]! >> ((block % perByte) * width)) & mask;
      }
      const end = Math.min((block + 1) * blockSize, cols);
      for (let col = block * blockSize; col < end; col++) {
        const byte = values[row * valueBytes + Math.floor(col / perByte)]!;
        const code = signed ? (byte << 24) >> 24 : (byte >> ((col % perByte) * width)) & mask;
        dst[row * cols + col] = (code - zeroPoint) * scale;
      }
    }
  }
}
