/** Blocked Cholesky factorisation: products by an engine, panels by kernels. */
import type { Kernels } from '@penjing/kernels';
import type { TaskOptions } from '../task.js';
import type { Matrix, Products } from './products.js';

export interface CholeskyOptions extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  readonly products: Products;
  readonly kernels: Kernels;
  /** Rows per panel, at most 256; 128 when absent. */
  readonly panel?: number;
}

/**
 * h = gᵀg for a symmetric positive definite h (n, n): g, upper triangular, replaces h. Left-looking, so that each panel of g leaves
 * the engine once and everything before it is read in place (Golub and Van Loan, Matrix Computations, section 4.2).
 * Returns -1, or the first row whose pivot is not positive and finite; then h is as it was.
 */
export async function cholesky(h: Matrix, options: CholeskyOptions): Promise<number> {
  const { products, kernels, panel = 128, signal, onProgress } = options;
  const { data, rows: n } = h;
  const diagonal = Float32Array.from({ length: n }, (_, i) => data[i * n + i]!);
  for (let start = 0; start < n; start += panel) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'factorise', done: start, total: n, unit: 'rows' });
    const size = Math.min(panel, n - start);
    const cols = n - start;
    const rest = new Float32Array(size * cols);
    for (let i = 0; i < size; i++) rest.set(data.subarray((start + i) * n + start, (start + i + 1) * n), i * cols);
    if (start > 0) {
      const before: Matrix = { data, rows: start, cols: n };
      const known = await products.multiply({ ...before, window: [start, start + size], transposed: true }, { ...before, window: [start, n] });
      for (let i = 0; i < rest.length; i++) rest[i]! -= known[i]!;
    }
    const lower = new Float32Array(size * size);
    for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) lower[i * size + j] = rest[j * cols + i]!;
    const failed = kernels.choleskyPanel(lower, size);
    if (failed !== -1) {
      restore(data, n, diagonal);
      return start + failed;
    }
    kernels.solveLower(lower, rest, size, cols);
    for (let i = 0; i < size; i++) data.set(rest.subarray(i * cols + i, (i + 1) * cols), (start + i) * n + start + i);
  }
  for (let i = 1; i < n; i++) data.fill(0, i * n, i * n + i);
  return -1;
}

/** The lower triangle still has what the upper one had. */
function restore(data: Float32Array, n: number, diagonal: Float32Array): void {
  for (let i = 0; i < n; i++) {
    data[i * n + i] = diagonal[i]!;
    for (let j = i + 1; j < n; j++) data[i * n + j] = data[j * n + i]!;
  }
}
