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
