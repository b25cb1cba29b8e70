/** Eigenvalues and vectors of a diagonal matrix changed by one outer product: the heart of divide and conquer. */

export interface SecularSolution {
  /** Ascending, one in each gap between poles and one beyond the last. */
  readonly roots: Float64Array;
  /** Row i: the unit eigenvector of root i; (count, count). */
  readonly vectors: Float64Array;
}

/**
 * Of diag(poles) + strength · z zᵀ, for ascending, distinct poles, z without zeros and a positive strength. Roots are bisected as
 * their distance from the nearer pole, so that no digits cancel, and z is computed anew from the roots, which makes the vectors
 * orthogonal to working precision (Gu and Eisenstat 1994, SIAM J. Matrix Anal. Appl. 15).
 */
export function solveSecular(poles: Float64Array, z: Float64Array, strength: number): SecularSolution {
  const count = poles.length;
  const roots = new Float64Array(count);
  /** Row i: poles − root i, exact to the last digits. */
  const gaps = new Float64Array(count * count);
  const squares = z.map((value) => strength * value * value);
  const total = squares.reduce((sum, value) => sum + value, 0);
  for (let i = 0; i < count; i++) {
    const width = i + 1 < count ? poles[i + 1]! - poles[i]! : total;
    const left = i + 1 === count || secular(poles, squares, poles[i]!, width / 2) >= 0;
    const origin = left ? poles[i]! : poles[i + 1]!;
    const offset = bisect(poles, squares, origin, left ? 1 : -1, i + 1 < count ? width / 2 : width);
    roots[i] = origin + offset;
    for (let j = 0; j < count; j++) gaps[i * count + j] = poles[j]! - origin - offset;
  }
  const weights = new Float64Array(count);
  for (let j = 0; j < count; j++) {
    let product = Math.abs(gaps[j * count + j]!);
    for (let i = 0; i < count; i++) if (i !== j) product *= Math.abs(gaps[i * count + j]! / (poles[i]! - poles[j]!));
    weights[j] = Math.sign(z[j]!) * Math.sqrt(product);
  }
  for (let i = 0; i < count; i++) {
    const row = gaps.subarray(i * count, (i + 1) * count);
    let norm = 0;
    for (let j = 0; j < count; j++) {
      row[j] = weights[j]! / row[j]!;
      norm += row[j]! ** 2;
    }
    const scale = 1 / Math.sqrt(norm);
    for (let j = 0; j < count; j++) row[j]! *= scale;
  }
  return { roots, vectors: gaps };
}

/** 1 + Σ squares / (poles − origin − offset). */
function secular(poles: Float64Array, squares: Float64Array, origin: number, offset: number): number {
  let sum = 1;
  for (let j = 0; j < poles.length; j++) sum += squares[j]! / (poles[j]! - origin - offset);
  return sum;
}

/** The distance from the pole at `origin`, with its sign: first by factors, until it is known to one of two, then by halves. */
function bisect(poles: Float64Array, squares: Float64Array, origin: number, sign: 1 | -1, widest: number): number {
  let low = Math.max(widest * 2 ** -900, Number.MIN_VALUE);
  let high = widest;
  for (;;) {
    const middle = high > 4 * low ? Math.sqrt(low) * Math.sqrt(high) : low + (high - low) / 2;
    if (!(middle > low && middle < high)) return sign * high;
    // the function grows with the root: to the left of it, it is negative
    const beyond = secular(poles, squares, origin, sign * middle) >= 0 === (sign === 1);
    if (beyond) high = middle;
    else low = middle;
  }
}
