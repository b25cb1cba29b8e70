/** How much units of a layer's inputs matter to it, and the layer without some of them. */
import { DenseTensor, type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { factorHessian, matrixProducts, projectMatrix } from '@penjing/core/linalg';
import { reconstruction } from './reconstruction.js';

/** What the samples say of the inputs of a layer. */
export type UnitStatistic =
  /** Σ x² per feature. */
  | { readonly kind: 'norms'; readonly squares: Float64Array }
  /** XᵀX (features, features), overwritten. */
  | { readonly kind: 'gram'; readonly sums: Float32Array };

export interface ScoreInput {
  /** Float32 (features, outputs). */
  readonly matrix: TensorReference;
  /** Features of each unit. */
  readonly units: readonly Uint32Array[];
  /** Without one ‖w‖² of a unit's rows. */
  readonly statistic?: UnitStatistic;
  /** Of a Gram matrix: look at its diagonal only, as norms do; or weigh what the other features can make up for, with so many units gone in the end. */
  readonly weigh?: { readonly by: 'diagonal' } | { readonly by: 'rest'; readonly remove: number };
  /** Puts the Gram matrix aside: another job will want it. */
  readonly keep?: boolean;
}

export interface ScoreOutput {
  /** One number per unit. */
  readonly scores: Float64Array;
  /** XᵀX, spilled. */
  readonly sums?: TensorReference;
}

/**
 * Without a statistic ‖w‖² of a unit's rows; with norms Σ x² w², what it adds to the outputs on its own; with a Gram matrix what
 * `reconstruction` says. Throws `E_DATA` for what is not finite.
 */
export const scoreJob: Job<ScoreInput, ScoreOutput> = { module: jobModule(import.meta.url, './unit-job'), name: 'scoreJob', run: score };

async function score({ matrix, units, statistic, weigh = { by: 'diagonal' }, keep = false }: ScoreInput, context: JobContext): Promise<ScoreOutput> {
  const [features, outputs] = matrix.shape as [number, number];
  const weights = (await context.read(matrix)).data as Float32Array;
  const gram = statistic?.kind === 'gram' ? statistic.sums : undefined;
  const sums = keep && gram ? await context.spill(DenseTensor.of('float32', [features, features], gram.slice())) : undefined;
  const squares = statistic?.kind === 'norms' ? statistic.squares : gram && Float64Array.from({ length: features }, (_, i) => gram[i * features + i]!);
  const scores = gram && weigh.by === 'rest' ? await reconstruction({ weights: weights.slice(), features, outputs, units, sums: gram, remove: weigh.remove }, context) : plain(weights, outputs, units, squares);
  if (!scores.every(Number.isFinite)) throw new PenjingError('E_DATA', 'the weights of a layer, or what reaches it, are not finite');
  return { scores, ...(sums && { sums }) };
}

function plain(weights: Float32Array, outputs: number, units: readonly Uint32Array[], squares: Float64Array | undefined): Float64Array {
  return Float64Array.from(units, (features) => {
    let sum = 0;
    for (const feature of features) {
      let row = 0;
      for (let j = feature * outputs; j < (feature + 1) * outputs; j++) row += weights[j]! ** 2;
      sum += squares ? squares[feature]! * row : row;
    }
    return sum;
  });
}

export interface CompensateInput {
  /** Float32 (features, outputs). */
  readonly matrix: TensorReference;
  /** XᵀX (features, features). */
  readonly sums: Float32Array | TensorReference;
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

async function compensate({ matrix, sums: given, removed, kept }: CompensateInput, context: JobContext): Promise<Compensated> {
  const [features, outputs] = matrix.shape as [number, number];
  const original = (await context.read(matrix)).data as Float32Array;
  const sums = given instanceof Float32Array ? given : ((await context.read(given)).data as Float32Array);
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
    ...context, products, factor, weights, cols: outputs, group: 128,
    constrain: ({ start, end }) => ({ keep: new Uint8Array((end - start) * outputs).fill(1, Math.max(0, Math.min(end, removed.length) - start) * outputs) }),
  });
  const rest = values.slice(removed.length * outputs);
  if (!rest.every(Number.isFinite) || !Number.isFinite(objective)) throw new PenjingError('E_DATA', 'the weights that remain would not be finite');
  return { weights: await context.spill(DenseTensor.of('float32', [kept.length, outputs], rest)), objective, plain, damping: factor.damping };
}
