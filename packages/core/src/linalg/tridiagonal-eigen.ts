/** Eigenvalues and eigenvectors of a symmetric tridiagonal matrix: divide and conquer, products by an engine. */
import { PenjingError } from '../errors.js';
import type { Products } from './products.js';
import { solveSecular } from './secular.js';

export interface TridiagonalEigen {
  /** Ascending. */
  readonly values: Float64Array;
  /** Row i belongs to value i; (size, size). */
  readonly vectors: Float64Array;
}

/** Below this, rotations are quicker than a merge. */
const SMALL = 32;
const EPSILON = 2 ** -52;

/**
 * Cuppen's method with deflation and the vectors of Gu and Eisenstat (Golub and Van Loan, section 8.4.4; Gu and Eisenstat 1995,
 * SIAM J. Matrix Anal. Appl. 16). `off` has one entry less than `diagonal`; both are left as they are.
 */
export async function tridiagonalEigen(diagonal: Float64Array, off: Float64Array, products: Products, signal?: AbortSignal): Promise<TridiagonalEigen> {
  signal?.throwIfAborted();
  const size = diagonal.length;
  if (size <= SMALL) {
    const values = diagonal.slice();
    const vectors = identity(size);
    implicitQl(values, off, vectors);
    return sorted(values, vectors, size);
  }
  const half = size >> 1;
  const coupling = off[half - 1]!;
  const strength = Math.abs(coupling);
  const top = diagonal.slice(0, half);
  const bottom = diagonal.slice(half);
  top[half - 1]! -= strength;
  bottom[0]! -= strength;
  const first = await tridiagonalEigen(top, off.subarray(0, half - 1), products, signal);
  const second = await tridiagonalEigen(bottom, off.subarray(half), products, signal);
  const values = new Float64Array(size);
  values.set(first.values);
  values.set(second.values, half);
  const vectors = new Float64Array(size * size);
  const z = new Float64Array(size);
  // z has length 1: the strength is doubled for it
  for (let i = 0; i < half; i++) {
    vectors.set(first.vectors.subarray(i * half, (i + 1) * half), i * size);
    z[i] = first.vectors[i * half + half - 1]! / Math.SQRT2;
  }
  const rest = size - half;
  for (let i = 0; i < rest; i++) {
    vectors.set(second.vectors.subarray(i * rest, (i + 1) * rest), (half + i) * size + half);
    z[half + i] = (Math.sign(coupling) * second.vectors[i * rest]!) / Math.SQRT2;
  }
  return merge(values, vectors, z, 2 * strength, products);
}

/** Eigen of diag(values) + strength · z zᵀ, in the basis of the rows of `vectors`, which is overwritten. */
async function merge(values: Float64Array, vectors: Float64Array, z: Float64Array, strength: number, products: Products): Promise<TridiagonalEigen> {
  const size = values.length;
  const order = Array.from(values, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const largest = Math.max(...[values[order[0]!]!, values[order.at(-1)!]!].map(Math.abs), strength);
  const tolerance = 8 * EPSILON * largest;
  const kept: number[] = [];
  for (const i of order) {
    if (strength * Math.abs(z[i]!) <= tolerance) continue;
    const before = kept.at(-1);
    if (before !== undefined) {
      const norm = Math.hypot(z[before]!, z[i]!);
      const c = z[i]! / norm;
      const s = -z[before]! / norm;
      if (Math.abs((values[i]! - values[before]!) * c * s) <= tolerance) {
        rotateRows(vectors, size, before, i, c, s);
        const [a, b] = [values[before]!, values[i]!];
        values[before] = a * c * c + b * s * s;
        values[i] = a * s * s + b * c * c;
        z[i] = norm;
        kept[kept.length - 1] = i;
        continue;
      }
    }
    kept.push(i);
  }
  if (kept.length > 0) {
    const poles = Float64Array.from(kept, (i) => values[i]!);
    const { roots, vectors: inner } = solveSecular(poles, Float64Array.from(kept, (i) => z[i]!), strength);
    const basis = new Float64Array(kept.length * size);
    kept.forEach((from, row) => basis.set(vectors.subarray(from * size, (from + 1) * size), row * size));
    const turned = await products.multiplyWide({ data: inner, rows: kept.length, cols: kept.length }, { data: basis, rows: kept.length, cols: size });
    kept.forEach((to, row) => {
      values[to] = roots[row]!;
      vectors.set(turned.subarray(row * size, (row + 1) * size), to * size);
    });
  }
  return sorted(values, vectors, size);
}

/** Rows p and q: p ← c p + s q, q ← c q − s p. */
function rotateRows(rows: Float64Array, size: number, p: number, q: number, c: number, s: number): void {
  for (let k = 0, a = p * size, b = q * size; k < size; k++, a++, b++) {
    const x = rows[a]!;
    const y = rows[b]!;
    rows[a] = c * x + s * y;
    rows[b] = c * y - s * x;
  }
}

function identity(size: number): Float64Array {
  const rows = new Float64Array(size * size);
  for (let i = 0; i < size; i++) rows[i * size + i] = 1;
  return rows;
}

function sorted(values: Float64Array, vectors: Float64Array, size: number): TridiagonalEigen {
  const order = Array.from(values, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const rows = new Float64Array(size * size);
  order.forEach((from, to) => rows.set(vectors.subarray(from * size, (from + 1) * size), to * size));
  return { values: Float64Array.from(order, (i) => values[i]!), vectors: rows };
}

/** Sweeps per eigenvalue; two or three are usual. */
const MOST_SWEEPS = 60;

/**
 * Implicit QL with Wilkinson's shift (Golub and Van Loan, section 8.3.5): the diagonal becomes the eigenvalues, in no order, and the
 * rows of `vectors` are rotated along when they are given.
 */
export function implicitQl(diagonal: Float64Array, beside: Float64Array, vectors?: Float64Array): void {
  const size = diagonal.length;
  const off = new Float64Array(size);
  off.set(beside.subarray(0, Math.max(0, size - 1)));
  // as small as this it is rounding of the largest entries, whatever stands beside it
  const nothing = EPSILON * 0.25 * [...diagonal, ...off].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let low = 0; low < size; low++) {
    for (let sweep = 0; ; sweep++) {
      let high = low;
      while (high < size - 1 && Math.abs(off[high]!) > Math.max(nothing, EPSILON * (Math.abs(diagonal[high]!) + Math.abs(diagonal[high + 1]!)))) high++;
      if (high === low) break;
      if (sweep === MOST_SWEEPS) throw new PenjingError('E_DATA', 'a symmetric matrix has no eigenvalues that can be found: it holds values that are not finite');
      const g = (diagonal[low + 1]! - diagonal[low]!) / (2 * off[low]!);
      const radius = Math.hypot(g, 1);
      let shift = diagonal[high]! - diagonal[low]! + off[low]! / (g + (g >= 0 ? radius : -radius));
      let s = 1;
      let c = 1;
      let moved = 0;
      let i = high - 1;
      for (; i >= low; i--) {
        const f = s * off[i]!;
        const b = c * off[i]!;
        const r = Math.hypot(f, shift);
        off[i + 1] = r;
        if (r === 0) {
          diagonal[i + 1]! -= moved;
          off[high] = 0;
          break;
        }
        s = f / r;
        c = shift / r;
        const d = diagonal[i + 1]! - moved;
        const t = (diagonal[i]! - d) * s + 2 * c * b;
        moved = s * t;
        diagonal[i + 1] = d + moved;
        shift = c * t - b;
        if (vectors) rotateRows(vectors, size, i, i + 1, c, -s);
      }
      if (i >= low) continue;
      diagonal[low]! -= moved;
      off[low] = shift;
      off[high] = 0;
    }
  }
}
