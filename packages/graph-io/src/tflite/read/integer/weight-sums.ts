/** How large sums of products can get: weights looked at a window at a time. */
import type { TfliteFile, TfliteSubgraph } from '../../open-tflite.js';

/** Operand of the weights, whose first axis is that of the outputs. */
const WEIGHTS: Readonly<Record<string, number>> = { CONV_2D: 1, FULLY_CONNECTED: 1, TRANSPOSE_CONV: 1 };

/** Products of 8 bits that float32 sums exactly whatever they are: there is no need to look. */
const HARMLESS = Math.floor(2 ** 24 / (128 * 255));

const WINDOW = 1 << 20;

/** Per tensor the largest sum of absolute int8 weights for one output. */
export async function weightSums({ source }: TfliteFile, { operators, tensors }: TfliteSubgraph): Promise<Map<number, number>> {
  const sums = new Map<number, number>();
  for (const { type, inputs } of operators) {
    const index = inputs[WEIGHTS[type] ?? -1] ?? -1;
    const { dtype, shape, data, sparsity } = tensors[index] ?? {};
    if (dtype !== 'int8' || !data || sparsity || !shape || sums.has(index)) continue;
    const row = data.length / (shape[0] || 1);
    if (row <= HARMLESS) continue;
    sums.set(index, await largestRow(row, data));
  }
  return sums;

  async function largestRow(row: number, { offset, length }: { readonly offset: number; readonly length: number }): Promise<number> {
    let largest = 0;
    let sum = 0;
    let left = row;
    for (let start = 0; start < length; start += WINDOW) {
      const bytes = await source.read(offset + start, Math.min(WINDOW, length - start));
      for (const weight of new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)) {
        sum += Math.abs(weight);
        if (--left > 0) continue;
        largest = Math.max(largest, sum);
        sum = 0;
        left = row;
      }
    }
    return largest;
  }
}
