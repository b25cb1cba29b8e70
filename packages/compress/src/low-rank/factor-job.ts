/** The best low-rank factors of matrices in a metric of their inputs: SVD, scaled SVD, whitened SVD. */
import { DenseTensor, type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { type HessianSums, readHessian } from '@penjing/core/calibrate';
import { factorHessian, matrixProducts, type Products, svd } from '@penjing/core/linalg';

/** ‖(w − w*) Aᵀ‖², with A by kind. */
export type FactorMetric =
  | { readonly kind: 'identity' }
  /** A is diagonal: (size). */
  | { readonly kind: 'diagonal'; readonly scales: Float32Array }
  /** AᵀA = XᵀX (size, size); an array is overwritten. */
  | { readonly kind: 'hessian'; readonly sums: HessianSums; readonly damping: number };

export interface SpectrumInput {
  readonly metric: FactorMetric;
  /** Input features. */
  readonly size: number;
  /** Float32 (outputs, size) each, and how many directions of each are of interest. */
  readonly matrices: readonly { readonly matrix: TensorReference; readonly rank: number }[];
}

export interface Spectrum {
  /** Squared singular values in the metric, descending, (rank). */
  readonly energies: Float64Array;
  /** All of it, also beyond the rank. */
  readonly energy: number;
  /** (rank, outputs): orthonormal rows, spilled. */
  readonly directions: TensorReference;
}

export interface SpectrumOutput {
  readonly spectra: readonly Spectrum[];
  /** Damping that was needed. */
  readonly damping: number;
  /** Inputs that were never active. */
  readonly dead: number;
}

/**
 * The leading left singular vectors of W Aᵀ: projecting the outputs of W on them is the best matrix of their rank in the metric, and
 * needs no inverse of A, which SVD-LLM and ASVD divide by (Wang et al. 2024, arXiv:2403.07378; Yuan et al. 2023, arXiv:2312.05821).
 * Throws `E_DATA` for weights or a Hessian that are not finite.
 */
export const spectrumJob: Job<SpectrumInput, SpectrumOutput> = { module: jobModule(import.meta.url, './factor-job'), name: 'spectrumJob', run: spectra, repeatable: true };

async function spectra({ metric, size, matrices }: SpectrumInput, context: JobContext): Promise<SpectrumOutput> {
  const { engine, kernels, signal } = context;
  await using products = matrixProducts(engine);
  const factor = metric.kind === 'hessian' ? await factorHessian(await readHessian(metric.sums, size, context), size, { ...context, products, damping: metric.damping }) : undefined;
  const found: Spectrum[] = [];
  for (const { matrix, rank } of matrices) {
    signal?.throwIfAborted();
    const rows = matrix.shape[0]!;
    const weights = (await context.read(matrix)).data as Float32Array;
    const measured = factor
      ? await products.multiply({ data: weights, rows, cols: size }, { data: factor.lower, rows: size, cols: size, transposed: true })
      : metric.kind === 'diagonal' ? scaled(weights, metric.scales) : weights;
    const { values, left, energy } = await svd({ data: measured, rows, cols: size }, { products, kernels, rank, ...(signal && { signal }) });
    const energies = values.map((value) => value * value);
    found.push({ energies, energy, directions: await context.spill(DenseTensor.of('float32', [energies.length, rows], left)) });
  }
  return { spectra: found, damping: factor?.damping ?? 0, dead: factor?.dead.length ?? 0 };
}

function scaled(weights: Float32Array, scales: Float32Array): Float32Array {
  const size = scales.length;
  return weights.map((value, i) => value * scales[i % size]!);
}

export interface FactorsInput {
  /** Float32 (outputs, size). */
  readonly matrix: TensorReference;
  /** (at least rank, outputs), as `spectrumJob` gives them. */
  readonly directions: TensorReference;
  readonly rank: number;
}

export interface Factors {
  /** (size, rank), spilled. */
  readonly down: TensorReference;
  /** (rank, outputs), spilled: orthonormal rows. */
  readonly up: TensorReference;
  readonly snrDb: number;
  readonly maxError: number;
}

/** x Wᵀ ≈ x · down · up. Throws `E_DATA` when that is not finite. */
export const factorsJob: Job<FactorsInput, Factors> = { module: jobModule(import.meta.url, './factor-job'), name: 'factorsJob', run: factors, repeatable: true };

async function factors({ matrix, directions, rank }: FactorsInput, context: JobContext): Promise<Factors> {
  const [rows, size] = matrix.shape as [number, number];
  await using products = matrixProducts(context.engine);
  const weights = (await context.read(matrix)).data as Float32Array;
  const up = ((await context.read(directions)).data as Float32Array).slice(0, rank * rows);
  const w = { data: weights, rows, cols: size };
  const u = { data: up, rows: rank, cols: rows };
  const down = await products.multiply({ ...w, transposed: true }, { ...u, transposed: true });
  const { sumSquares, sumSquaredError, maxError, nonFinite } = context.kernels.errorStats(weights, await restored(products, down, up, { rows, size, rank }));
  if (nonFinite > 0) throw new PenjingError('E_DATA', `the factors of rank ${rank} are not finite`);
  return {
    down: await context.spill(DenseTensor.of('float32', [size, rank], down)),
    up: await context.spill(DenseTensor.of('float32', [rank, rows], up)),
    snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError),
    maxError,
  };
}

/** (outputs, size). */
function restored(products: Products, down: Float32Array, up: Float32Array, { rows, size, rank }: { readonly rows: number; readonly size: number; readonly rank: number }): Promise<Float32Array> {
  return products.multiply({ data: up, rows: rank, cols: rows, transposed: true }, { data: down, rows: size, cols: rank, transposed: true });
}
