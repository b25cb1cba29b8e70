/** Solves with a Cholesky factor of any size: panels by kernels, everything else by the engine. */
import type { CholeskyOptions } from './cholesky.js';
import type { Matrix } from './products.js';

/**
 * x ← (gᵀ)⁻¹ x for g upper triangular (n, n), as `cholesky` gives it, and x (n, cols). Forward substitution by panels
 * (Golub and Van Loan, Matrix Computations, section 3.1). The diagonal of g must not have zeros.
 */
export async function solveTransposed(g: Matrix, x: Matrix, options: CholeskyOptions): Promise<void> {
  const { products, kernels, panel = 128, signal } = options;
  const { data, rows: n } = g;
  const { data: values, cols } = x;
  for (let start = 0; start < n; start += panel) {
    signal?.throwIfAborted();
    const size = Math.min(panel, n - start);
    const rows = values.subarray(start * cols, (start + size) * cols);
    if (start > 0) {
      const known = await products.multiply({ data, rows: start, cols: n, window: [start, start + size], transposed: true }, { data: values, rows: start, cols });
      for (let i = 0; i < rows.length; i++) rows[i]! -= known[i]!;
    }
    const lower = new Float32Array(size * size);
    for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) lower[i * size + j] = data[(start + j) * n + start + i]!;
    kernels.solveLower(lower, rows, size, cols);
  }
}
