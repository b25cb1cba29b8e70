/** Orthonormal rows by repeated, shifted Cholesky: all of it products and panels. */
import { PenjingError } from '../errors.js';
import type { Rng } from '../rng.js';
import { cholesky, type CholeskyOptions } from './cholesky.js';
import type { Matrix } from './products.js';
import { solveTransposed } from './solve-upper.js';

export interface OrthonormalizeOptions extends CholeskyOptions {
  /** Makes the directions that rows without one of their own get. */
  readonly rng: Rng;
  /** Largest difference of the rows' products from 0 and 1 that is good enough; 4e-6, which is what float32 gives, when absent. */
  readonly tolerance?: number;
}

/** A pass lifts the smallest singular value of the rows by 1/√shift; float32 spans 10⁷. */
const SHIFT = 1e-5;
const MOST_PASSES = 10;

/**
 * Replaces the rows of y (rows ≤ cols) by orthonormal ones that span the same space; rows that depend on others become other
 * directions. Shifted CholeskyQR, repeated (Fukaya et al. 2020, "Shifted Cholesky QR for computing the QR factorization of
 * ill-conditioned matrices"). Throws `E_DATA` for values that are not finite.
 */
export async function orthonormalizeRows(y: Matrix, options: OrthonormalizeOptions): Promise<void> {
  const { products, rng, signal, tolerance = 4e-6 } = options;
  const { data, rows, cols } = y;
  let before = Infinity;
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    signal?.throwIfAborted();
    if (pass === 0) normalizeRows(y, rng);
    const gram = await products.multiplyWide(y, { ...y, transposed: true });
    let off = 0;
    for (let i = 0; i < rows; i++) for (let j = 0; j <= i; j++) off = Math.max(off, Math.abs(gram[i * rows + j]! - (i === j ? 1 : 0)));
    if (off < tolerance || (off < 1e-4 && off > before / 2)) return;
    before = off;
    // rows that lean on each other this little need no shift
    const shift = off * rows < 0.5 ? 0 : SHIFT;
    const g = { data: Float32Array.from(gram), rows, cols: rows };
    for (let more = shift; ; more = more === 0 ? SHIFT : more * 10) {
      for (let i = 0; i < rows; i++) g.data[i * rows + i] = gram[i * rows + i]! + more;
      if ((await cholesky(g, options)) === -1) break;
      if (more > 1) throw new PenjingError('E_DATA', `${rows} rows of ${cols} cannot be made orthonormal: they hold values that are not finite`);
    }
    await solveTransposed(g, { data, rows, cols }, options);
  }
}

/**
 * Rows of length 1; those of length 0 become random. Each gets a direction of its own within float32's rounding, which later passes
 * bring out where a row depends on others.
 */
function normalizeRows({ data, rows, cols }: Matrix, rng: Rng): void {
  const own = 2e-7 / Math.sqrt(cols);
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * cols, (i + 1) * cols);
    let sum = squares(row);
    if (!Number.isFinite(sum)) throw new PenjingError('E_DATA', 'a matrix holds values that are not finite');
    if (sum === 0) {
      for (let j = 0; j < cols; j++) row[j] = rng.normal();
      sum = squares(row);
    }
    const scale = 1 / Math.sqrt(sum);
    for (let j = 0; j < cols; j++) row[j] = row[j]! * scale + own * (rng.uniform() - 0.5);
  }
}

function squares(row: Float32Array): number {
  let sum = 0;
  for (const value of row) sum += value * value;
  return sum;
}
