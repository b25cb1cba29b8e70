/** GPTQ of the matrices that read one activation: one Hessian, factored once (Frantar et al. 2022, arXiv:2210.17323). */
import { type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { type HessianSums, readHessian } from '@penjing/core/calibrate';
import { factorHessian, matrixProducts, type Products, projectMatrix } from '@penjing/core/linalg';
import type { Kernels } from '@penjing/kernels';
import type { WeightScheme } from '../scheme.js';
import { readWeights, type RoundedMatrix, spillBlocks } from '../spill-blocks.js';
import { blockOrder, inputOrder, reorderSquare } from './activation-order.js';
import { type BlockGrid, fixedGrid, followingGrid } from './block-grid.js';

/**
 * `inputs`: the most active first, on the grids of the original weights. `blocks`: whole blocks, the most active first, each on the
 * grid of what its weights have become. `none`: as they stand, grids likewise.
 */
export type GptqOrder = 'inputs' | 'blocks' | 'none';

export interface GptqInput {
  /** XᵀX over the calibration rows, (size, size); an array is overwritten. */
  readonly hessian: HessianSums;
  /** Input features. */
  readonly size: number;
  /** Of the matrices that name none of their own. */
  readonly scheme: WeightScheme;
  /** Float32 (cols, size) each: one row per output, as the quantized matrix is stored; read here, one at a time. All blocks have one size. */
  readonly matrices: readonly { readonly weights: TensorReference; readonly scheme?: WeightScheme | undefined }[];
  /** How scales follow from the values of a block; `squares` when absent. */
  readonly scales?: 'range' | 'squares' | undefined;
  /** `nbits`, as MatMulNBits stores it, when absent. */
  readonly layout?: 'nbits' | 'linear' | undefined;
  /** Share of the mean of the diagonal that is added to it. */
  readonly damping?: number | undefined;
  /** The order in which inputs are rounded; `blocks` when absent. */
  readonly order?: GptqOrder | undefined;
}

export interface GptqOutput {
  /** Their objective is with the damping in H. */
  readonly matrices: readonly RoundedMatrix[];
  /** Damping that was needed. */
  readonly damping: number;
  /** Inputs that were never active. */
  readonly dead: readonly number[];
}

export const gptqJob: Job<GptqInput, GptqOutput> = { module: jobModule(import.meta.url, './gptq-job'), name: 'gptqJob', run: gptq, repeatable: true };

const orders: Record<GptqOrder, (hessian: Float32Array, size: number, blockSize: number) => Uint32Array | undefined> = { inputs: inputOrder, blocks: blockOrder, none: () => undefined };

async function gptq(input: GptqInput, context: JobContext): Promise<GptqOutput> {
  const { size, scheme, layout = 'nbits' } = input;
  if (input.matrices.some((matrix) => matrix.scheme && matrix.scheme.blockSize !== scheme.blockSize)) throw new PenjingError('E_OPTION', 'the matrices of one job have blocks of one size');
  await using products = matrixProducts(context.engine);
  const { round, damping, dead } = await gptqRounding(input, products, context);
  const matrices: RoundedMatrix[] = [];
  for (const { weights: reference, scheme: own = scheme } of input.matrices) {
    const cols = reference.shape[0]!;
    const { turned, values, codes, objective, grid } = await round(await readWeights(reference, context), cols, own);
    const stored = await spillBlocks(grid.pack(codes, layout), { shape: [cols, size], scheme: own, layout }, context);
    matrices.push({ ...stored, objective, stats: context.kernels.errorStats(turned, values) });
  }
  return { matrices, damping, dead };
}

/** One matrix rounded, its inputs as rows in the order in which they were rounded. */
export interface GptqProjection {
  /** (size, cols): what was to be rounded, and what it became. */
  readonly turned: Float32Array;
  readonly values: Float32Array;
  readonly codes: Uint8Array;
  readonly objective: number;
  readonly grid: BlockGrid;
}

export interface GptqRounding {
  /** Rounds weights (cols, size) to blocks of the size that was given. */
  readonly round: (weights: Float32Array, cols: number, scheme: WeightScheme) => Promise<GptqProjection>;
  /** The input of each row; their own order when absent. */
  readonly order: Uint32Array | undefined;
  readonly damping: number;
  readonly dead: readonly number[];
}

/** Factors a Hessian, which is overwritten, for any number of matrices. */
export async function gptqRounding(input: Omit<GptqInput, 'matrices' | 'layout'>, products: Products, context: JobContext): Promise<GptqRounding> {
  const { size, scheme: { blockSize }, damping, scales = 'squares', order: kind = 'blocks' } = input;
  const { kernels } = context;
  const sums = await readHessian(input.hessian, size, context);
  const order = orders[kind](sums, size, blockSize);
  const hessian = order ? reorderSquare(sums, size, order) : sums;
  const factor = await factorHessian(hessian, size, { ...context, products, ...(damping !== undefined && { damping }) });
  return {
    order,
    damping: factor.damping,
    dead: factor.dead.map((place) => order?.[place] ?? place),
    async round(weights, cols, scheme) {
      const turned = inputsFirst(weights, size, cols, order, kernels);
      const options = { scheme, fit: scales, size, cols, kernels, order };
      const grid = kind === 'inputs' ? fixedGrid(weights, options) : followingGrid(options);
      return { turned, grid, ...(await projectMatrix({ ...context, products, factor, weights: turned, cols, group: grid.group, constrain: grid.constrain })) };
    },
  };
}

/** (cols, size) to (size, cols), rows in the order of the Hessian. */
function inputsFirst(weights: Float32Array, size: number, cols: number, order: Uint32Array | undefined, kernels: Kernels): Float32Array {
  const turned = new Float32Array(weights.length);
  kernels.transpose2d(bytes(weights), bytes(turned), cols, size, 4);
  if (!order) return turned;
  const sorted = new Float32Array(turned.length);
  for (let i = 0; i < size; i++) sorted.set(turned.subarray(order[i]! * cols, (order[i]! + 1) * cols), i * cols);
  return sorted;
}

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
