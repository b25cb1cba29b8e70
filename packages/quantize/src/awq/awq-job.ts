/** AWQ of the matrices that read one activation: which inputs to enlarge, which weights to cut off, and the rounded matrices (Lin et al. 2023, arXiv:2306.00978). */
import { type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';
import { type HessianSums, readHessian } from '@penjing/core/calibrate';
import { matrixProducts } from '@penjing/core/linalg';
import { storeCodes } from '../block-codes.js';
import type { WeightScheme } from '../scheme.js';
import { readWeights, type RoundedMatrix, spillBlocks } from '../spill-blocks.js';
import { clipBlocks } from './clip-blocks.js';
import { between, quadraticCost, type RoundedRows, type Rounding, type Rows, roundTrip, scaleColumns, subtract } from './round-trip.js';
import { searchScales } from './search-scales.js';

export interface AwqInput {
  /** XᵀX over the calibration rows, (size, size). */
  readonly hessian: HessianSums;
  /** Mean |x| of every input. */
  readonly magnitudes: Float32Array;
  /** Input features. */
  readonly size: number;
  /** Float32 (cols, size) each: one row per output. */
  readonly matrices: readonly { readonly weights: TensorReference; readonly scheme: WeightScheme }[];
  /** How scales follow from the values of a block; `range` when absent. */
  readonly scales?: 'range' | 'squares' | undefined;
  /** `nbits`, as MatMulNBits stores it, when absent. */
  readonly layout?: 'nbits' | 'linear' | undefined;
  /** Cuts off the largest weights of a block where that helps; true when absent. */
  readonly clip?: boolean | undefined;
}

export interface AwqOutput {
  /** Of the weights times `factors`; their objective is that of the outputs, for activations divided by them. */
  readonly matrices: readonly RoundedMatrix[];
  readonly factors: Float32Array;
  /** 0: every factor is 1. */
  readonly alpha: number;
}

export const awqJob: Job<AwqInput, AwqOutput> = { module: jobModule(import.meta.url, './awq-job'), name: 'awqJob', run: awq, repeatable: true };

async function awq(input: AwqInput, context: JobContext): Promise<AwqOutput> {
  const { magnitudes, size, scales: fit = 'range', layout = 'nbits', clip = true } = input;
  const { engine, kernels, signal } = context;
  await using products = matrixProducts(engine);
  const hessian = await readHessian(input.hessian, size, context);
  const task = { products, kernels, ...(signal && { signal }) };
  const layers = [];
  for (const { weights, scheme } of input.matrices) layers.push({ data: await readWeights(weights, context), cols: weights.shape[0]!, size, scheme });
  const { factors, alpha } = await searchScales({ ...task, hessian, magnitudes, layers, fit });
  const inverse = factors.map((factor) => 1 / factor);
  const metric = alpha === 0 ? hessian : between(hessian, inverse);

  const matrices: RoundedMatrix[] = [];
  for (const { scheme, ...rows } of layers) {
    const scaled = { ...rows, data: scaleColumns(rows, factors) };
    const rounding: Rounding = { scheme, fit, kernels };
    const costOf = async (rounded: RoundedRows): Promise<number> => quadraticCost({ ...rows, data: subtract(scaled.data, rounded.values) }, metric, products);
    let rounded = roundTrip(scaled, rounding);
    let cost = await costOf(rounded);
    if (clip) {
      // What is best for every block alone need not be best for their sum.
      const cut = roundTrip(scaled, rounding, await clipBlocks(scaled, { ...task, ...rounding, hessian: metric }));
      const cutCost = await costOf(cut);
      if (cutCost < cost) [rounded, cost] = [cut, cutCost];
    }
    const stored = await spillBlocks(storeCodes(rounded.codes, rounded.grids, size, scheme, layout, kernels), { shape: [rows.cols, size], scheme, layout }, context);
    matrices.push({ ...stored, objective: cost / 2, stats: kernels.errorStats(rows.data, restored(rows, rounded, inverse)) });
  }
  return { matrices, factors, alpha };
}

function restored(rows: Rows, { values }: RoundedRows, inverse: Float32Array): Float32Array {
  return scaleColumns({ ...rows, data: values }, inverse);
}
