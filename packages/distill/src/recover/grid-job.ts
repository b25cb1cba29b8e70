/** Quantized weights as floats on their grids, and back. One weight in memory at a time, beside the engine. */
import { DenseTensor, type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import type { BlockStats } from '@penjing/kernels';
import { type Grid, type GridLayout, project, scaleCount } from './grid.js';
import { type CodeForm, readCodes, readZeros, turnScales, writeCodes } from './grid-codes.js';

/** Tensors of a quantized weight. */
export interface StoredGrid {
  /** Codes; sub-byte ones packed. */
  readonly values: TensorReference;
  /** float32. */
  readonly scales: TensorReference;
  readonly zeroPoints: TensorReference | undefined;
}

export interface OpenGridInput extends StoredGrid {
  readonly form: CodeForm;
  readonly layout: GridLayout;
  /** Of the weight as floats. */
  readonly shape: readonly number[];
}

export interface OpenGridOutput {
  /** float32. */
  readonly weights: TensorReference;
  readonly grid: Grid & { readonly zeros: Float32Array };
  readonly scales: Float32Array;
}

export const openGridJob: Job<OpenGridInput, OpenGridOutput> = { module: jobModule(import.meta.url, './grid-job'), name: 'openGridJob', run: openGrid };

async function openGrid({ values, scales: scaleTensor, zeroPoints, form, layout, shape }: OpenGridInput, { read, spill, kernels }: JobContext): Promise<OpenGridOutput> {
  const count = shape.reduce((product, size) => product * size, 1);
  const codes = readCodes((await read(values)).bytes, count, form, kernels);
  const stored = (await read(scaleTensor)).data as Float32Array;
  const scales = form.turned ? turnScales(stored, form.rows, Math.ceil(form.cols / form.block)) : stored.slice();
  const zeros = readZeros(zeroPoints && (await read(zeroPoints)).bytes, scaleCount(layout), form, kernels);
  if (!scales.every(Number.isFinite)) throw new PenjingError('E_DATA', 'scales of a quantized weight are not finite', { hint: 'Check the model.' });
  const grid = { ...layout, ...codesOf(codes, zeros, form), zeros };
  const weights = new Float32Array(count);
  const { outer, length, inner, block } = layout;
  const blocks = Math.ceil(length / block);
  for (let o = 0; o < outer; o++) for (let k = 0; k < length; k++) for (let i = 0; i < inner; i++) {
    const at = (o * length + k) * inner + i;
    const from = (o * blocks + Math.floor(k / block)) * inner + i;
    weights[at] = (codes[at]! - zeros[from]!) * scales[from]!;
  }
  return { weights: await spill(DenseTensor.of('float32', shape, weights)), grid, scales };
}

/** Codes that the grid has, by those that are in use: 3 bits are stored in 4, and int8 weights often go from −127 or from −64. */
function codesOf(codes: Uint8Array, zeros: Float32Array, { layout, bits, signed }: CodeForm): { lowest: number; highest: number } {
  let [least, most] = [2 ** bits - 1, 0];
  for (const code of codes) {
    if (code < least) least = code;
    if (code > most) most = code;
  }
  const middle = 2 ** (bits - 1);
  const symmetric = zeros.every((zero) => zero === middle);
  if (bits === 4 && symmetric && least >= middle - 4 && most <= middle + 3) return { lowest: middle - 4, highest: middle + 3 };
  if (bits === 4 && !symmetric && most <= 7 && zeros.every((zero) => zero <= 7)) return { lowest: 0, highest: 7 };
  if (bits === 8 && layout === 'linear' && signed && symmetric) {
    const reach = Math.max(middle - least, most - middle);
    if (reach <= 127) return { lowest: middle - (reach <= 64 ? 64 : 127), highest: middle + (reach <= 64 ? 64 : 127) };
  }
  return { lowest: 0, highest: 2 ** bits - 1 };
}

export interface CloseGridInput {
  /** float32, as training left them. */
  readonly weights: TensorReference;
  readonly form: CodeForm;
  readonly grid: Grid & { readonly zeros: Float32Array };
  /** Those from before. */
  readonly scales: Float32Array;
  /** Shapes of the stored tensors. */
  readonly stored: { readonly values: TensorReference; readonly scales: TensorReference };
}

export interface CloseGridOutput {
  readonly values: TensorReference;
  readonly scales: TensorReference;
  /** In the order of the grid. */
  readonly steps: Float32Array;
  /** Blocks that did not lie on a grid: they were rounded to the nearest. */
  readonly rounded: number;
  /** Of the weights as they are stored, against those that training left. */
  readonly stats: BlockStats;
}

export const closeGridJob: Job<CloseGridInput, CloseGridOutput> = { module: jobModule(import.meta.url, './grid-job'), name: 'closeGridJob', run: closeGrid };

async function closeGrid({ weights: reference, form, grid, scales: before, stored }: CloseGridInput, { read, spill, kernels }: JobContext): Promise<CloseGridOutput> {
  const weights = (await read(reference)).data as Float32Array;
  const { nonFinite } = kernels.errorStats(weights, weights);
  if (nonFinite > 0) throw new PenjingError('E_DATA', `${nonFinite} trained weights are not finite`, { hint: 'Take an earlier checkpoint.' });
  const { outer, length, inner, block, zeros, lowest, highest } = grid;
  const blocks = Math.ceil(length / block);
  const steps = before.slice();
  const members = new Float32Array(Math.min(block, length));
  let rounded = 0;
  for (let o = 0; o < outer; o++) for (let b = 0; b < blocks; b++) for (let i = 0; i < inner; i++) {
    const at = (o * blocks + b) * inner + i;
    const [first, last] = [b * block, Math.min(length, (b + 1) * block)];
    for (let k = first; k < last; k++) members[k - first] = weights[(o * length + k) * inner + i]!;
    const step = stepOf(members.subarray(0, last - first), before[at]!, lowest - zeros[at]!, highest - zeros[at]!);
    if (step === undefined) rounded++;
    else steps[at] = step;
  }
  const onGrid = new Float32Array(weights.length);
  project(weights, onGrid, steps, grid);
  const stats = kernels.errorStats(weights, onGrid);
  const codes = new Uint8Array(weights.length);
  for (let o = 0; o < outer; o++) for (let k = 0; k < length; k++) for (let i = 0; i < inner; i++) {
    const at = (o * length + k) * inner + i;
    const from = (o * blocks + Math.floor(k / block)) * inner + i;
    codes[at] = zeros[from]! + (steps[from] === 0 ? 0 : Math.round(onGrid[at]! / steps[from]!));
  }
  const inOrder = form.turned ? turnScales(steps, Math.ceil(form.cols / form.block), form.rows) : steps;
  return {
    values: await spill(new DenseTensor(stored.values.dtype, stored.values.shape, writeCodes(codes, form, kernels))),
    scales: await spill(DenseTensor.of('float32', stored.scales.shape, inOrder)),
    steps, rounded, stats,
  };
}

/** How far from a whole number of steps a product of a step and a code may be: each of three roundings to float32 is off by 2⁻²⁴ of it. */
const tolerance = (code: number): number => 1e-6 + 3e-7 * Math.abs(code);

/**
 * The step of which all weights of a block are multiples between `least` and `most`: the one before, or the largest of its sign. Undefined when there is none. Training needs to hand over nothing but weights: a
 * finer grid that holds them too would be stored as the same numbers.
 */
export function stepOf(block: Float32Array, before: number, least: number, most: number): number | undefined {
  let largest = 0;
  for (const weight of block) if (Math.abs(weight) > Math.abs(largest)) largest = weight;
  if (largest === 0) return before;
  const fits = (step: number): boolean => {
    for (const weight of block) {
      const code = weight / step;
      const near = Math.round(code);
      if (near < least || near > most || Math.abs(code - near) > tolerance(near)) return false;
    }
    return true;
  };
  if (before !== 0 && fits(before)) return before;
  const end = Math.max(most, -least);
  for (let code = 1; code <= end; code++) {
    for (const sign of before < 0 ? [-1, 1] : [1, -1]) {
      const step = Math.fround(largest / (sign * code));
      if (fits(step)) return step;
    }
  }
  return undefined;
}
