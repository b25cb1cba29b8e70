/** Scaled dot-product attention in doubles, with everything the attention operators add to it. */

export interface AttendOptions {
  readonly batch: number;
  readonly heads: number;
  /** Key/value heads; each serves heads / groups query heads in a row. */
  readonly groups: number;
  readonly rows: number;
  readonly keys: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly scale: number;
  /** softcap · tanh(score / softcap), when positive. */
  readonly softcap?: number;
  /** Added to a score; -Infinity hides the key. */
  readonly bias?: (batch: number, head: number, row: number, key: number) => number;
  /** Adds a score without a value to each softmax. */
  readonly sink?: (head: number) => number | undefined;
  /** Weight of every key in a row of which all are hidden; 0 when absent. Softmax says NaN. */
  readonly emptyRow?: number;
}

export interface Attended {
  /** (batch, heads, rows, valueSize). */
  readonly out: Float64Array;
  /** (batch, heads, rows, keys) at the steps that operators can return. */
  readonly scores: Float64Array;
  readonly capped: Float64Array;
  /** Capped and biased. */
  readonly biased: Float64Array;
  readonly weights: Float64Array;
}

/** q (batch, heads, rows, keySize), k (batch, groups, keys, keySize), v (batch, groups, keys, valueSize). */
export function attend(q: Float64Array, k: Float64Array, v: Float64Array, options: AttendOptions): Attended {
  const { batch, heads, groups, rows, keys, keySize, valueSize, scale, softcap = 0, bias, sink, emptyRow = 0 } = options;
  const out = new Float64Array(batch * heads * rows * valueSize);
  const count = batch * heads * rows * keys;
  const [scores, capped, biased, weights] = [new Float64Array(count), new Float64Array(count), new Float64Array(count), new Float64Array(count)];
  const cap = (x: number): number => (softcap > 0 ? softcap * Math.tanh(x / softcap) : x);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const group = Math.floor(h / (heads / groups));
      for (let r = 0; r < rows; r++) {
        const at = ((b * heads + h) * rows + r) * keys;
        const from = ((b * heads + h) * rows + r) * keySize;
        let max = sink?.(h) ?? -Infinity;
        for (let j = 0; j < keys; j++) {
          const other = ((b * groups + group) * keys + j) * keySize;
          let dot = 0;
          for (let d = 0; d < keySize; d++) dot += q[from + d]! * k[other + d]!;
          const score = dot * scale;
          const shift = bias?.(b, h, r, j) ?? 0;
          scores[at + j] = score;
          capped[at + j] = cap(score);
          // In float32 a bias of -1e9 swallows what is smaller than its last place, and a row of nothing but padding is uniform.
          biased[at + j] = Math.fround(capped[at + j]! + shift);
          max = Math.max(max, biased[at + j]!);
        }
        let total = 0;
        const extra = sink?.(h);
        if (max > -Infinity) {
          for (let j = 0; j < keys; j++) total += weights[at + j] = Math.exp(biased[at + j]! - max);
          if (extra !== undefined) total += Math.exp(extra - max);
        }
        const to = ((b * heads + h) * rows + r) * valueSize;
        for (let j = 0; j < keys; j++) {
          const weight = (weights[at + j] = total === 0 ? emptyRow : weights[at + j]! / total);
          if (weight === 0) continue;
          const value = ((b * groups + group) * keys + j) * valueSize;
          for (let d = 0; d < valueSize; d++) out[to + d]! += weight * v[value + d]!;
        }
      }
    }
  }
  return { out, scores, capped, biased, weights };
}
