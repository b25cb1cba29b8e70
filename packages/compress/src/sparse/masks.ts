/** Chooses which weights stay, given how much the loss of each would cost. */

/** Marks the `count` smallest scores with 0 in `keep`, the first ones among equals, and all others with 1. NaN is not among the scores. */
export function dropSmallest(scores: Float32Array, count: number, keep: Uint8Array): void {
  keep.fill(1);
  if (count <= 0) return;
  if (count >= scores.length) return void keep.fill(0);
  const limit = nthSmallest(scores, count - 1);
  let below = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i]! < limit) below++;
  let ties = count - below;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! < limit) keep[i] = 0;
    else if (scores[i] === limit && ties > 0) {
      keep[i] = 0;
      ties--;
    }
  }
}

/** The value at place `n` of the sorted values: Hoare's selection on a copy, the pivot a median of three. */
export function nthSmallest(values: Float32Array, n: number): number {
  const sorted = values.slice();
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    const [a, b, c] = [sorted[low]!, sorted[middle]!, sorted[high]!];
    const pivot = Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
    let [left, right] = [low, high];
    while (left <= right) {
      while (sorted[left]! < pivot) left++;
      while (sorted[right]! > pivot) right--;
      if (left > right) break;
      const value = sorted[left]!;
      sorted[left++] = sorted[right]!;
      sorted[right--] = value;
    }
    if (n <= right) high = right;
    else if (n >= left) low = left;
    else return sorted[n]!;
  }
  return sorted[n]!;
}

/**
 * How many of the smallest scores (rows, cols) lie in each cell of `cell` rows of each column: `counts` (cells, cols), when `share` of
 * all of them go, the first ones among equals. The scores are magnitudes.
 */
export function countSmallest(scores: Float32Array, cols: number, cell: number, share: number, counts: Uint8Array): void {
  const count = Math.round(share * scores.length);
  const bits = new Uint32Array(scores.buffer, scores.byteOffset, scores.length);
  const { limit, ties } = smallestBits(bits, count);
  let left = ties;
  for (let at = 0, to = 0; at < bits.length; to += cols) {
    for (let i = 0; i < cell && at < bits.length; i++) {
      for (let c = 0; c < cols; c++, at++) {
        const score = bits[at]!;
        if (score < limit) counts[to + c]!++;
        else if (score === limit && left > 0) {
          counts[to + c]!++;
          left--;
        }
      }
    }
  }
}

/** The `count` smallest are those below `limit` and so many of those that equal it. By digits: sorting a block would take longer than pruning it. */
function smallestBits(bits: Uint32Array, count: number): { limit: number; ties: number } {
  if (count === 0) return { limit: 0, ties: 0 };
  const upper = new Uint32Array(1 << 16);
  for (let i = 0; i < bits.length; i++) upper[bits[i]! >>> 16]!++;
  const [high, within] = placeOf(upper, count);
  const lower = new Uint32Array(1 << 16);
  for (let i = 0; i < bits.length; i++) if (bits[i]! >>> 16 === high) lower[bits[i]! & 0xffff]!++;
  const [low, rest] = placeOf(lower, within);
  return { limit: high * 65_536 + low, ties: rest };
}

/** The bin that holds the `count`-th, and how many of it that takes. */
function placeOf(bins: Uint32Array, count: number): readonly [bin: number, rest: number] {
  let rest = count;
  for (let bin = 0; ; bin++) {
    if (rest <= bins[bin]!) return [bin, rest];
    rest -= bins[bin]!;
  }
}

/**
 * Marks the `drop` smallest of every group of `of` rows in each column of scores (rows, cols) with 0 in `keep`, the first ones
 * among equals; of a last, short group as many as leave `of − drop` of it.
 */
export function dropPattern(scores: Float32Array, rows: number, cols: number, { keep: kept, of }: { readonly keep: number; readonly of: number }, keep: Uint8Array): void {
  keep.fill(1);
  for (let start = 0; start < rows; start += of) {
    const end = Math.min(start + of, rows);
    const drop = end - start - kept;
    if (drop <= 0) continue;
    // The number of smaller ones decides; a group is short enough for that, and rows are read as they lie.
    for (let i = start; i < end; i++) {
      for (let c = 0; c < cols; c++) {
        const score = scores[i * cols + c]!;
        let smaller = 0;
        for (let j = start; j < i; j++) if (scores[j * cols + c]! <= score) smaller++;
        for (let j = i + 1; j < end; j++) if (scores[j * cols + c]! < score) smaller++;
        if (smaller < drop) keep[i * cols + c] = 0;
      }
    }
  }
}
