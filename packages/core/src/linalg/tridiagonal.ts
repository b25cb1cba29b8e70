/** A symmetric matrix as reflectors around a tridiagonal one, and the way back for eigenvectors. */
import type { TaskOptions } from '../task.js';
import type { Products } from './products.js';

export interface Tridiagonal {
  readonly size: number;
  readonly diagonal: Float64Array;
  /** Beside the diagonal, (size − 1). */
  readonly off: Float64Array;
  /** Row k: the vector of reflector k, zero up to column k; (max(0, size − 2), size). */
  readonly vectors: Float64Array;
  /** I − scale · v vᵀ. */
  readonly scales: Float64Array;
}

/**
 * a = H₀ H₁ … T … H₁ H₀ by Householder reflectors (Golub and Van Loan, section 8.3.1). The lower triangle of a (size, size) is read
 * and overwritten. The update of one step and the product of the next share one walk over the matrix, which is what it costs.
 */
export function tridiagonalize(a: Float64Array, size: number, { signal, onProgress }: Pick<TaskOptions, 'signal' | 'onProgress'> = {}): Tridiagonal {
  const steps = Math.max(0, size - 2);
  const diagonal = new Float64Array(size);
  const off = new Float64Array(Math.max(0, size - 1));
  const vectors = new Float64Array(steps * size);
  const scales = new Float64Array(steps);
  // what the step before still has to take away: v wᵀ + w vᵀ
  let v = new Float64Array(size);
  const w = new Float64Array(size);
  const product = new Float64Array(size);
  for (let k = 0; k < steps; k++) {
    if (k % 64 === 0) {
      signal?.throwIfAborted();
      onProgress?.({ phase: 'tridiagonalize', done: k, total: steps, unit: 'rows' });
    }
    const { reflector, scale, head } = columnReflector(a, size, k, v, w);
    diagonal[k] = a[k * size + k]! - 2 * v[k]! * w[k]!;
    off[k] = head;
    vectors.set(reflector, k * size);
    scales[k] = scale;
    product.fill(0);
    for (let i = k + 1; i < size; i++) {
      const row = i * size;
      const vi = v[i]!;
      const wi = w[i]!;
      const xi = reflector[i]!;
      let sum = 0;
      for (let j = k + 1; j < i; j++) {
        const value = a[row + j]! - vi * w[j]! - wi * v[j]!;
        a[row + j] = value;
        sum += value * reflector[j]!;
        product[j]! += value * xi;
      }
      const value = a[row + i]! - 2 * vi * wi;
      a[row + i] = value;
      product[i]! += sum + value * xi;
    }
    let along = 0;
    for (let i = k + 1; i < size; i++) along += product[i]! * reflector[i]!;
    const half = (scale * scale * along) / 2;
    for (let i = k + 1; i < size; i++) w[i] = scale * product[i]! - half * reflector[i]!;
    v = reflector;
    w[k] = 0;
  }
  for (let k = steps; k < size; k++) {
    diagonal[k] = a[k * size + k]! - 2 * v[k]! * w[k]!;
    if (k + 1 < size) off[k] = a[(k + 1) * size + k]! - v[k + 1]! * w[k]! - w[k + 1]! * v[k]!;
  }
  return { size, diagonal, off, vectors, scales };
}

/** The reflector that leaves one entry of column k below the diagonal. */
function columnReflector(a: Float64Array, size: number, k: number, v: Float64Array, w: Float64Array): { reflector: Float64Array<ArrayBuffer>; scale: number; head: number } {
  const reflector = new Float64Array(size);
  let largest = 0;
  for (let i = k + 1; i < size; i++) {
    const value = a[i * size + k]! - v[i]! * w[k]! - w[i]! * v[k]!;
    reflector[i] = value;
    largest = Math.max(largest, Math.abs(value));
  }
  let rest = 0;
  for (let i = k + 2; i < size; i++) rest += (reflector[i]! / largest) ** 2;
  const first = reflector[k + 1]!;
  if (largest === 0 || rest === 0) {
    reflector.fill(0);
    return { reflector, scale: 0, head: first };
  }
  const norm = largest * Math.sqrt((first / largest) ** 2 + rest);
  const head = first > 0 ? -norm : norm;
  for (let i = k + 1; i < size; i++) reflector[i]! /= largest;
  reflector[k + 1] = (first - head) / largest;
  // 2 / vᵀv, with v[k+1]² = (first − head)²
  return { reflector, scale: 2 / (reflector[k + 1]! ** 2 + rest), head };
}

const BLOCK = 64;

/** Rows of z (count, size), eigenvectors of T, become those of the matrix: blocks of reflectors as I − V T Vᵀ (Schreiber and Van Loan 1989). */
export async function applyReflectors({ size, vectors, scales }: Tridiagonal, z: Float64Array, count: number, products: Products, signal?: AbortSignal): Promise<void> {
  for (let end = scales.length; end > 0; end -= BLOCK) {
    signal?.throwIfAborted();
    const start = Math.max(0, end - BLOCK);
    const block = { data: vectors.subarray(start * size, end * size), rows: end - start, cols: size };
    const along = await products.multiplyWide({ data: z, rows: count, cols: size }, { ...block, transposed: true });
    const weighted = await products.multiplyWide({ data: blockFactor(block.data, scales.subarray(start, end), size), rows: block.rows, cols: block.rows, transposed: true }, block);
    const change = await products.multiplyWide({ data: along, rows: count, cols: block.rows }, { data: weighted, rows: block.rows, cols: size });
    for (let i = 0; i < z.length; i++) z[i]! -= change[i]!;
  }
}

/** T, upper triangular, of H_first … H_last = I − V T Vᵀ. */
function blockFactor(vectors: Float64Array, scales: Float64Array, size: number): Float64Array {
  const n = scales.length;
  const factor = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    const along = new Float64Array(j);
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let c = 0; c < size; c++) sum += vectors[i * size + c]! * vectors[j * size + c]!;
      along[i] = sum;
    }
    factor[j * n + j] = scales[j]!;
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let k = i; k < j; k++) sum += factor[i * n + k]! * along[k]!;
      factor[i * n + j] = -scales[j]! * sum;
    }
  }
  return factor;
}
