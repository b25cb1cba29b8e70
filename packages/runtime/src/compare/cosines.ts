/** Cosine of the embeddings of two models, row by row. */
import { PenjingError } from '@penjing/core';
import type { WireTensor } from '../worker/wire-types.js';
import { numbers } from './difference.js';

/** Of rows that both models embedded. */
export interface CosineSums {
  rows: number;
  sum: number;
  lowest: number;
  /** Rows by 1 − cosine: powers of ten from 10^lowest, see `cosineBins`. */
  readonly counts: number[];
}

/** The first and the last take what is beyond. */
export const cosineBins = { lowest: -8, perDecade: 4, count: 34 } as const;

/** Outputs that are embeddings, best first, as sentence-transformers, Optimum and the exporters of vision models name them. */
const EMBEDDINGS = ['sentence_embedding', 'text_embeds', 'image_embeds', 'embeddings', 'pooler_output', 'last_hidden_state'];

export function embeddingAmong(outputs: readonly string[]): string | undefined {
  return EMBEDDINGS.find((name) => outputs.includes(name));
}

export function cosineSums(): CosineSums {
  return { rows: 0, sum: 0, lowest: 1, counts: new Array<number>(cosineBins.count).fill(0) };
}

export function mergeCosines(into: CosineSums, from: CosineSums): void {
  into.rows += from.rows;
  into.sum += from.sum;
  into.lowest = Math.min(into.lowest, from.lowest);
  from.counts.forEach((count, i) => (into.counts[i]! += count));
}

/**
 * Embeddings are (rows, width), or (rows, tokens, width), whose mean over the tokens that `mask` (rows, tokens) has is taken. Throws `E_SHAPE` for anything else,
 * and where the two are not alike.
 */
export function cosines(name: string, a: WireTensor, b: WireTensor, mask: WireTensor | undefined): CosineSums {
  const [left, right] = [pooled(name, a, mask), pooled(name, b, mask)];
  if (left.rows !== right.rows || left.width !== right.width) throw new PenjingError('E_SHAPE', `output ${name} is [${a.shape.join(', ')}] in one model and [${b.shape.join(', ')}] in the other`, { hint: 'Embeddings of different widths cannot be compared.' });
  const sums = cosineSums();
  for (let row = 0; row < left.rows; row++) {
    const cosine = cosineOf(left.data, right.data, row * left.width, left.width);
    const bin = Math.floor((Math.log10(Math.max(1 - cosine, Number.MIN_VALUE)) - cosineBins.lowest) * cosineBins.perDecade);
    mergeCosines(sums, { rows: 1, sum: cosine, lowest: cosine, counts: [] });
    sums.counts[Number.isNaN(bin) ? cosineBins.count - 1 : Math.min(cosineBins.count - 1, Math.max(0, bin))]!++;
  }
  return sums;
}

/** 1 for two rows of zeros, 0 for one: they are alike, or nothing is. */
function cosineOf(a: Float64Array, b: Float64Array, from: number, width: number): number {
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = from; i < from + width; i++) {
    product += a[i]! * b[i]!;
    squareA += a[i]! ** 2;
    squareB += b[i]! ** 2;
  }
  if (squareA === 0 || squareB === 0) return squareA === squareB ? 1 : 0;
  return Math.max(-1, Math.min(1, product / Math.sqrt(squareA * squareB)));
}

function pooled(name: string, tensor: WireTensor, mask: WireTensor | undefined): { data: Float64Array; rows: number; width: number } {
  const [rows = 0, tokens = 1] = tensor.shape;
  const width = tensor.shape.at(-1) ?? 0;
  const rank = tensor.shape.length;
  if (rank !== 2 && rank !== 3) throw new PenjingError('E_SHAPE', `output ${name} is [${tensor.shape.join(', ')}]: no embeddings (rows, width) or (rows, tokens, width)`);
  const at = numbers(tensor);
  if (rank === 2) return { data: Float64Array.from({ length: rows * width }, (_, i) => at(i)), rows, width };
  const seen = mask && mask.shape[0] === rows && mask.shape[1] === tokens ? numbers(mask) : () => 1;
  const data = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let token = 0; token < tokens; token++) {
      if (seen(row * tokens + token) === 0) continue;
      // the cosine does not see the length: a sum is as good as a mean
      for (let i = 0; i < width; i++) data[row * width + i]! += at((row * tokens + token) * width + i);
    }
  }
  return { data, rows, width };
}
