/** How much units of a layer's inputs matter to it, and the layer without some of them. */
import { DenseTensor, type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { cholesky, factorHessian, matrixProducts, projectMatrix } from '@penjing/core/linalg';

/** What the samples say of the inputs of a layer. */
export type UnitStatistic =
  | { readonly kind: 'none' }
  /** Σ x² per feature. */
  | { readonly kind: 'norms'; readonly squares: Float64Array }
  /** XᵀX (features, features), overwritten. */
  | { readonly kind: 'gram'; readonly sums: Float32Array };

export interface ScoreInput {
  /** Float32 (features, outputs). */
  readonly matrix: TensorReference;
  /** Features of each unit. */
  readonly units: readonly Uint32Array[];
  readonly statistic: UnitStatistic;
}

/**
 * One number per unit. Without a statistic ‖w‖² of its rows; with norms Σ x² w², what it adds to the outputs on its own; with a Gram
 * matrix ½ tr(wᵀ ([H⁻¹]ᵤᵤ)⁻¹ w), what is lost when the other rows make up for it (Hassibi and Stork 1992, for groups).
 * Throws `E_DATA` for what is not finite.
 */
export const scoreJob: Job<ScoreInput, Float64Array> = { module: jobModule(import.meta.url, './unit-job'), name: 'scoreJob', run: score };

async function score({ matrix, units, statistic }: ScoreInput, context: JobContext): Promise<Float64Array> {
  const [features, outputs] = matrix.shape as [number, number];
  const weights = (await context.read(matrix)).data as Float32Array;
  const scores = statistic.kind === 'gram' ? await reconstruction(weights, features, outputs, units, statistic.sums, context) : plain(weights, outputs, units, statistic);
  if (!scores.every(Number.isFinite)) throw new PenjingError('E_DATA', 'the weights of a layer, or what reaches it, are not finite');
  return scores;
}

function plain(weights: Float32Array, outputs: number, units: readonly Uint32Array[], statistic: UnitStatistic): Float64Array {
  return Float64Array.from(units, (features) => {
    let sum = 0;
    for (const feature of features) {
      let row = 0;
      for (let j = feature * outputs; j < (feature + 1) * outputs; j++) row += weights[j]! ** 2;
      sum += statistic.kind === 'norms' ? statistic.squares[feature]! * row : row;
    }
    return sum;
  });
}

/** Added to the diagonal of the Gram matrix, as a share of its mean. */
const DAMPING = 1e-2;

async function reconstruction(weights: Float32Array, features: number, outputs: number, units: readonly Uint32Array[], sums: Float32Array, context: JobContext): Promise<Float64Array> {
  await using products = matrixProducts(context.engine);
  // H = AᵀA with A lower triangular, so H⁻¹ = A⁻¹ A⁻ᵀ: its blocks are products of rows of A⁻¹
  const { lower } = await factorHessian(sums, features, { ...context, products, damping: DAMPING });
  const inverse = await inverseOfLower(lower, features, products);
  const scores = new Float64Array(units.length);
  for (const [u, unit] of units.entries()) {
    const n = unit.length;
    const block = new Float32Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        const [a, b] = [unit[i]! * features, unit[j]! * features];
        for (let k = 0; k < features; k++) sum += inverse[a + k]! * inverse[b + k]!;
        block[i * n + j] = block[j * n + i] = sum;
      }
    }
    const rows = new Float32Array(n * outputs);
    for (let i = 0; i < n; i++) rows.set(weights.subarray(unit[i]! * outputs, (unit[i]! + 1) * outputs), i * outputs);
    const failed = await cholesky({ data: block, rows: n, cols: n }, { ...context, products });
    if (failed !== -1) throw new PenjingError('E_DATA', 'the inputs of a layer are too close to depend on each other');
    // forward substitution with gᵀ
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) {
        const factor = block[k * n + i]!;
        for (let j = 0; j < outputs; j++) rows[i * outputs + j]! -= factor * rows[k * outputs + j]!;
      }
      for (let j = 0; j < outputs; j++) rows[i * outputs + j]! /= block[i * n + i]!;
    }
    let sum = 0;
    for (const value of rows) sum += value * value;
    scores[u] = sum / 2;
  }
  return scores;
}

const PANEL = 128;

/** (n, n), by panels of rows. */
async function inverseOfLower(lower: Float32Array, n: number, products: ReturnType<typeof matrixProducts>): Promise<Float32Array> {
  const inverse = new Float32Array(n * n);
  for (let start = 0; start < n; start += PANEL) {
    const end = Math.min(start + PANEL, n);
    const rows = inverse.subarray(start * n, end * n);
    for (let i = start; i < end; i++) rows[(i - start) * n + i] = 1;
    if (start > 0) {
      const known = await products.multiply({ data: lower.subarray(start * n, end * n), rows: end - start, cols: n, window: [0, start] }, { data: inverse, rows: start, cols: n });
      for (let i = 0; i < rows.length; i++) rows[i]! -= known[i]!;
    }
    for (let i = start; i < end; i++) {
      const row = rows.subarray((i - start) * n, (i - start + 1) * n);
      for (let k = start; k < i; k++) {
        const factor = lower[i * n + k]!;
        const other = rows.subarray((k - start) * n, (k - start + 1) * n);
        for (let j = 0; j < end; j++) row[j]! -= factor * other[j]!;
      }
      const scale = 1 / lower[i * n + i]!;
      for (let j = 0; j < end; j++) row[j]! *= scale;
    }
  }
  return inverse;
}

export interface CompensateInput {
  /** Float32 (features, outputs). */
  readonly matrix: TensorReference;
  /** XᵀX (features, features). */
  readonly sums: Float32Array;
  readonly removed: Uint32Array;
  readonly kept: Uint32Array;
}

export interface Compensated {
  /** (kept, outputs), spilled. */
  readonly weights: TensorReference;
  /** ½ ‖x w − x w*‖² over the samples, with what was added to the diagonal. */
  readonly objective: number;
  /** The same, had the other rows stayed as they were. */
  readonly plain: number;
  readonly damping: number;
}

/** The rows that stay, as they come closest to what the layer computed: least squares. Throws `E_DATA` for what is not finite. */
export const compensateJob: Job<CompensateInput, Compensated> = { module: jobModule(import.meta.url, './unit-job'), name: 'compensateJob', run: compensate };

async function compensate({ matrix, sums, removed, kept }: CompensateInput, context: JobContext): Promise<Compensated> {
  const [features, outputs] = matrix.shape as [number, number];
  const original = (await context.read(matrix)).data as Float32Array;
  await using products = matrixProducts(context.engine);
  // what goes stands first: then all rows that stay make up for it
  const order = [...removed, ...kept];
  const h = new Float32Array(features * features);
  for (let i = 0; i < features; i++) for (let j = 0; j < features; j++) h[i * features + j] = sums[order[i]! * features + order[j]!]!;
  const weights = new Float32Array(features * outputs);
  order.forEach((from, to) => weights.set(original.subarray(from * outputs, (from + 1) * outputs), to * outputs));
  const gone = weights.subarray(0, removed.length * outputs);
  const block = new Float32Array(removed.length ** 2);
  for (let i = 0; i < removed.length; i++) for (let j = 0; j < removed.length; j++) block[i * removed.length + j] = h[i * features + j]!;
  const weighted = await products.multiply({ data: block, rows: removed.length, cols: removed.length }, { data: gone, rows: removed.length, cols: outputs });
  let plain = 0;
  for (let i = 0; i < gone.length; i++) plain += (gone[i]! * weighted[i]!) / 2;
  const factor = await factorHessian(h, features, { ...context, products, damping: 1e-3 });
  const { values, objective } = await projectMatrix({
    ...context, products, factor, weights, cols: outputs, group: 1,
    constrain: ({ start }) => ({ keep: new Uint8Array(outputs).fill(start < removed.length ? 0 : 1) }),
  });
  const rest = values.slice(removed.length * outputs);
  if (!rest.every(Number.isFinite) || !Number.isFinite(objective)) throw new PenjingError('E_DATA', 'the weights that remain would not be finite');
  return { weights: await context.spill(DenseTensor.of('float32', [kept.length, outputs], rest)), objective, plain, damping: factor.damping };
}
