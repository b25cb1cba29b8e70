/** A matrix rounded to a grid without data, as floats again. */
import type { Kernels } from '@penjing/kernels';
import { storedBits, type WeightScheme } from '../scheme.js';

/** What (rows, cols) becomes on a grid of its blocks: `rtn` from their range, `hqq` fitted. */
export function roundPlainly({ data, rows, cols }: { readonly data: Float32Array; readonly rows: number; readonly cols: number }, candidate: WeightScheme & { readonly method: string }, kernels: Kernels): Float32Array {
  const { blockSize, symmetric } = candidate;
  const bits = storedBits(candidate);
  const blocks = Math.ceil(cols / blockSize);
  const stored = {
    values: new Uint8Array(rows * blocks * ((blockSize * bits) / 8)),
    scales: new Float32Array(rows * blocks),
    zeroPoints: symmetric ? undefined : new Uint8Array(rows * Math.ceil((blocks * bits) / 8)),
  };
  const form = { rows, cols, bits, blockSize, symmetric, layout: 'nbits', scaleDtype: 'float32', values: stored.values, scales: stored.scales, ...(stored.zeroPoints && { zeroPoints: stored.zeroPoints }) } as const;
  kernels.quantizeBlocks({ ...form, src: data, srcDtype: 'float32', gridBits: candidate.bits, fit: candidate.method === 'hqq' ? 'half-quadratic' : 'range' });
  const rounded = new Float32Array(data.length);
  kernels.dequantizeBlocks({ ...form, dst: rounded });
  return rounded;
}
