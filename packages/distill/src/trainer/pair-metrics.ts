/** What is measured of embeddings of pairs over the whole validation data: what a mean over batches cannot say. */

/** Embeddings of pairs, (pairs, 2, width). */
export interface PairEmbeddings {
  readonly values: Float32Array;
  readonly width: number;
  readonly count: number;
}

/** Share of the first texts whose nearest second text, by cosine among those of all pairs, is that of their pair or of a pair of the same group. */
export function recallAt1({ values, width, count }: PairEmbeddings, groups?: ArrayLike<number | bigint>): number {
  const units = unit(values, width);
  let right = 0;
  for (let i = 0; i < count; i++) {
    let [best, nearest] = [-Infinity, -1];
    for (let j = 0; j < count; j++) {
      const cosine = dot(units, 2 * i * width, (2 * j + 1) * width, width);
      if (cosine > best) [best, nearest] = [cosine, j];
    }
    if (nearest === i || (groups && nearest >= 0 && groups[nearest] === groups[i])) right++;
  }
  return count === 0 ? 0 : right / count;
}

/** Cosine of each pair. */
export function pairCosines({ values, width, count }: PairEmbeddings): Float64Array {
  const units = unit(values, width);
  return Float64Array.from({ length: count }, (_, i) => dot(units, 2 * i * width, (2 * i + 1) * width, width));
}

/** Correlation of ranks, −1 to 1; what is equal shares its rank. 0 where one of the two is the same everywhere. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [x, y] = [ranks(a), ranks(b)];
  const mean = (x.length - 1) / 2;
  let [across, squaresX, squaresY] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [x[i]! - mean, y[i]! - mean];
    across += p * q;
    squaresX += p * p;
    squaresY += q * q;
  }
  return squaresX === 0 || squaresY === 0 ? 0 : across / Math.sqrt(squaresX * squaresY);
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const found = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let k = start; k < end; k++) found[order[k]!] = (start + end - 1) / 2;
    start = end;
  }
  return found;
}

function unit(values: Float32Array, width: number): Float64Array {
  const units = Float64Array.from(values);
  for (let at = 0; at < units.length; at += width) {
    const length = Math.sqrt(dot(units, at, at, width)) || 1;
    for (let k = 0; k < width; k++) units[at + k]! /= length;
  }
  return units;
}

function dot(values: Float64Array, a: number, b: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += values[a + k]! * values[b + k]!;
  return sum;
}
