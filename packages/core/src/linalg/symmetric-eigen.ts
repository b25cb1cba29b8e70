/** Eigenvalues and eigenvectors of a symmetric matrix, in float64. */
import { PenjingError } from '../errors.js';
import type { TaskOptions } from '../task.js';
import type { Products } from './products.js';
import { applyReflectors, tridiagonalize } from './tridiagonal.js';
import { implicitQl, tridiagonalEigen } from './tridiagonal-eigen.js';

export interface SymmetricEigenOptions extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  readonly products: Products;
  /** How many eigenvectors, of the largest values; all of them when absent, and 0 is much quicker. */
  readonly vectors?: number;
}

export interface SymmetricEigen {
  /** All of them, descending. */
  readonly values: Float64Array;
  /** Row i belongs to value i; (vectors, size). */
  readonly vectors: Float64Array;
}

/**
 * Of a (size, size), row-major, of which the lower triangle is read and overwritten: reduced to a tridiagonal matrix in this thread,
 * which is solved by divide and conquer, and the vectors are turned back, by products of the engine. Errors are of the order of
 * 10⁻¹⁵ of the largest eigenvalue. Throws `E_DATA` for values that are not finite.
 */
export async function symmetricEigen(a: Float64Array, size: number, options: SymmetricEigenOptions): Promise<SymmetricEigen> {
  const { products, vectors: wanted = size, signal } = options;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) if (!Number.isFinite(a[i * size + j]!)) throw new PenjingError('E_DATA', `row ${i} of a symmetric matrix (${size} × ${size}) is not finite`);
  }
  const count = Math.min(wanted, size);
  const reduced = tridiagonalize(a, size, options);
  if (count === 0) {
    const values = reduced.diagonal.slice();
    implicitQl(values, reduced.off);
    return { values: values.sort().reverse(), vectors: new Float64Array(0) };
  }
  const { values, vectors } = await tridiagonalEigen(reduced.diagonal, reduced.off, products, signal);
  const rows = new Float64Array(count * size);
  for (let i = 0; i < count; i++) rows.set(vectors.subarray((size - 1 - i) * size, (size - i) * size), i * size);
  await applyReflectors(reduced, rows, count, products, signal);
  return { values: values.reverse(), vectors: rows };
}
