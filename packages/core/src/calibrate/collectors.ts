/** What calibration gathers of an activation, in memory that does not grow with the number of samples. */
import type { Kernels } from '@penjing/kernels';
import { PenjingError } from '../errors.js';
import type { Products } from '../linalg/products.js';
import type { DenseTensor } from '../tensor.js';

/** Kinds of statistics, each of float32 tensors whose last dimension is the channels. */
export interface Statistics {
  /** Smallest and largest value. */
  range: { min: number; max: number; count: number };
  /** Σ x² per channel, and how many rows were seen. */
  norms: { squares: Float64Array; rows: number };
  /** XᵀX over all rows, (channels, channels), and how many rows were seen. */
  gram: { sums: Float32Array; channels: number; rows: number };
}

export type StatisticName = keyof Statistics;

export interface CollectorTools {
  readonly kernels: Kernels;
  readonly products: Products;
}

export interface Collector<Name extends StatisticName> {
  add(tensor: DenseTensor): Promise<void>;
  result(): Statistics[Name];
}

/** One row per statistic. */
export const collectors: { readonly [Name in StatisticName]: (value: string, tools: CollectorTools) => Collector<Name> } = {
  range: (value, { kernels }) => {
    const range = { min: Infinity, max: -Infinity, count: 0 };
    return {
      async add(tensor) {
        const data = floats(value, tensor);
        const { min, max } = kernels.minMax(data);
        range.min = Math.min(range.min, min);
        range.max = Math.max(range.max, max);
        range.count += data.length;
      },
      result: () => range,
    };
  },

  norms: (value) => {
    let squares: Float64Array | undefined;
    let rows = 0;
    return {
      async add(tensor) {
        const data = floats(value, tensor);
        const channels = channelsOf(value, tensor, squares?.length);
        squares ??= new Float64Array(channels);
        for (let at = 0; at < data.length; at += channels) for (let c = 0; c < channels; c++) squares[c]! += data[at + c]! ** 2;
        rows += data.length / channels;
      },
      result: () => ({ squares: squares ?? new Float64Array(0), rows }),
    };
  },

  gram: (value, { products }) => {
    let sums: Float32Array | undefined;
    let width = 0;
    let rows = 0;
    return {
      async add(tensor) {
        const data = floats(value, tensor);
        width = channelsOf(value, tensor, sums && width);
        const count = data.length / width;
        const x = { data, rows: count, cols: width };
        const gram = await products.multiply({ ...x, transposed: true }, x);
        if (sums) for (let i = 0; i < gram.length; i++) sums[i]! += gram[i]!;
        else sums = gram;
        rows += count;
      },
      result: () => ({ sums: sums ?? new Float32Array(0), channels: width, rows }),
    };
  },
};

function floats(value: string, tensor: DenseTensor): Float32Array {
  if (tensor.dtype !== 'float32') throw new PenjingError('E_DTYPE', `${value} is ${tensor.dtype}; calibration wants float32`, { hint: 'Calibrate the float32 model, and cast it afterwards.' });
  return tensor.data as Float32Array;
}

/** The last dimension, the same every time. */
function channelsOf(value: string, { shape }: DenseTensor, before: number | undefined): number {
  const channels = shape.at(-1) ?? 1;
  if (before !== undefined && before !== channels) throw new PenjingError('E_SHAPE', `${value} had ${before} channels, now ${channels}`);
  return channels;
}
