/** Weights that are no numbers become 0, so that no method passes them on. */

/** Puts 0 in place of what is not finite; gives how many there were. */
export function clearNonFinite(weights: Float32Array): number {
  let count = 0;
  for (let i = 0; i < weights.length; i++) {
    if (Number.isFinite(weights[i])) continue;
    weights[i] = 0;
    count++;
  }
  return count;
}
