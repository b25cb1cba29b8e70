/** XᵀX over all rows of an activation: the Hessian of GPTQ and SparseGPT, whitening of SVD-LLM. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface GramStatistic {
  /** (channels, channels), row-major, symmetric. */
  readonly sums: Float32Array;
  readonly channels: number;
  /** Rows seen. */
  readonly rows: number;
}

/** Columns whose products are computed in one call: the product beside the sums then takes little, and half of a wide Gram is never computed. */
const TILE = 512;

/** Fewer rows than these wait for others: a product of one row costs as much as of dozens, since all sums are touched. */
const ROWS_AT_ONCE = 256;

export const gram: CollectorFactory<GramStatistic> = (value, { products }) => {
  let sums: Float32Array | undefined;
  let waiting = new Float32Array(0);
  let waitingRows = 0;
  let channels = 0;
  let rows = 0;

  async function flush(data: Float32Array, count: number): Promise<void> {
    if (count === 0) return;
    sums ??= new Float32Array(channels * channels);
    const x = { data, rows: count, cols: channels };
    for (let from = 0; from < channels; from += TILE) {
      const to = Math.min(from + TILE, channels);
      const width = channels - from;
      const tile =
        width === channels && to === channels
          ? await products.multiply({ ...x, transposed: true }, x)
          : await products.multiply({ ...x, window: [from, to], transposed: true }, { ...x, window: [from, channels] });
      for (let i = from; i < to; i++) {
        const into = i * channels;
        const at = (i - from) * width - from;
        for (let j = i; j < channels; j++) sums[into + j]! += tile[at + j]!;
      }
    }
  }

  async function flushWaiting(): Promise<void> {
    await flush(waiting.subarray(0, waitingRows * channels), waitingRows);
    waitingRows = 0;
  }

  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      channels = channelsOf(value, tensor, channels || undefined);
      const count = channels === 0 ? 0 : data.length / channels;
      rows += count;
      if (count >= ROWS_AT_ONCE) return flush(data, count);
      if (waitingRows + count > ROWS_AT_ONCE) await flushWaiting();
      if (waiting.length === 0) waiting = new Float32Array(ROWS_AT_ONCE * channels);
      waiting.set(data, waitingRows * channels);
      waitingRows += count;
    },
    async result() {
      await flushWaiting();
      const made = sums ?? new Float32Array(channels * channels);
      // Nothing else is added, and the one who asked may let it go.
      sums = undefined;
      waiting = new Float32Array(0);
      mirror(made, channels);
      return { sums: made, channels, rows };
    },
  };
};

/** Into the first one: there are never more than two in memory. */
export function mergeGrams(a: GramStatistic, b: GramStatistic): GramStatistic {
  for (let i = 0; i < a.sums.length; i++) a.sums[i]! += b.sums[i]!;
  return { ...a, rows: a.rows + b.rows };
}

/** Rows and columns of a square that is copied at once: both ends then stay in the cache. */
const SQUARE = 32;

/** Copies what is above the diagonal to below it. */
function mirror(matrix: Float32Array, size: number): void {
  for (let top = 0; top < size; top += SQUARE) {
    for (let left = 0; left <= top; left += SQUARE) {
      const bottom = Math.min(top + SQUARE, size);
      const right = Math.min(left + SQUARE, size);
      for (let i = top; i < bottom; i++) for (let j = left; j < right && j < i; j++) matrix[i * size + j] = matrix[j * size + i]!;
    }
  }
}
