/** A matrix as it would be read back after rounding, and what that costs in the metric of the activations. */
import type { Products } from '@penjing/core/linalg';
import type { BlockStats, GridFit, Kernels } from '@penjing/kernels';
import { storedBits, type WeightScheme } from '../scheme.js';

/** Float32 (cols, size): one row per output. */
export interface Rows {
  readonly data: Float32Array;
  readonly cols: number;
  readonly size: number;
}

export interface RoundedRows {
  /** (cols, size), read back. */
  readonly values: Float32Array;
  /** As `quantizeBlocks` of the kernels stores them. */
  readonly stored: { readonly values: Uint8Array; readonly scales: Float32Array; readonly zeroPoints: Uint8Array | undefined };
  readonly stats: BlockStats;
}

export interface Rounding {
  readonly scheme: WeightScheme;
  readonly fit: GridFit;
  readonly layout: 'nbits' | 'linear';
  readonly kernels: Kernels;
}

export function roundTrip({ data, cols, size }: Rows, { scheme, fit, layout, kernels }: Rounding): RoundedRows {
  const { bits: gridBits, blockSize, symmetric } = scheme;
  const bits = storedBits(scheme);
  const blocks = Math.ceil(size / blockSize);
  const nbits = layout === 'nbits';
  const stored = {
    values: new Uint8Array(nbits ? (cols * blocks * blockSize * bits) / 8 : cols * size),
    scales: new Float32Array(cols * blocks),
    zeroPoints: symmetric ? undefined : new Uint8Array(cols * (nbits ? Math.ceil((blocks * bits) / 8) : blocks)),
  };
  const { zeroPoints, ...rest } = stored;
  const common = { rows: cols, cols: size, bits, blockSize, symmetric, layout, scaleDtype: 'float32', ...rest, ...(zeroPoints && { zeroPoints }) } as const;
  const stats = kernels.quantizeBlocks({ ...common, src: data, srcDtype: 'float32', gridBits, fit });
  const values = new Float32Array(data.length);
  kernels.dequantizeBlocks({ ...common, dst: values });
  return { values, stored, stats };
}

/** Σ of d ∘ (d H) over the rows d of (cols, size): twice the objective of differences d. */
export async function quadraticCost({ data, cols, size }: Rows, hessian: Float32Array, products: Products): Promise<number> {
  const moved = await products.multiply({ data, rows: cols, cols: size }, { data: hessian, rows: size, cols: size });
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * moved[i]!;
  return sum;
}

/** Columns multiplied by a factor each. */
export function scaleColumns({ data, cols, size }: Rows, factors: Float32Array): Float32Array {
  const out = new Float32Array(data.length);
  for (let c = 0; c < cols; c++) for (let i = 0; i < size; i++) out[c * size + i] = data[c * size + i]! * factors[i]!;
  return out;
}

export function subtract(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i]! - b[i]!;
  return out;
}
