/** The factors by which AWQ enlarges the inputs of a layer before it is rounded (Lin et al. 2023, arXiv:2306.00978, section 3.2). */
import type { TaskOptions } from '@penjing/core';
import type { Products } from '@penjing/core/linalg';
import type { GridFit, Kernels } from '@penjing/kernels';
import type { WeightScheme } from '../scheme.js';
import { quadraticCost, roundingErrors, type Rows, scaleColumns } from './round-trip.js';

export interface SearchScalesOptions extends Pick<TaskOptions, 'signal'> {
  /** XᵀX, (size, size). */
  readonly hessian: Float32Array;
  /** Mean |x| of every input. */
  readonly magnitudes: Float32Array;
  /** Layers that read one activation are scaled together. */
  readonly layers: readonly (Rows & { readonly scheme: WeightScheme })[];
  readonly fit: GridFit;
  readonly products: Products;
  readonly kernels: Kernels;
}

export interface FoundScales {
  /** s: weights times s, activations divided by it. All 1 for α = 0. */
  readonly factors: Float32Array;
  readonly alpha: number;
}

/** The grid of α: 0, 1/20, … 19/20, as in the authors' code. */
const STEPS = 20;

/** Outputs of a layer that are looked at, spread evenly: each has grids of its own, so a share of them tells which α is best. */
const MOST_OUTPUTS = 512;

/** Factors below do not come about, as in the authors' code. */
const SMALLEST = 1e-4;

/** s = x̄^α for the α with the least error of the layers' outputs; x̄ are mean magnitudes, and s is centred between its ends. */
export async function searchScales({ hessian, magnitudes, layers, fit, products, kernels, signal }: SearchScalesOptions): Promise<FoundScales> {
  const looked = layers.map(({ scheme, ...rows }) => ({ scheme, ...spread(rows) }));
  let best: FoundScales = { factors: new Float32Array(magnitudes.length).fill(1), alpha: 0 };
  let least = Infinity;
  for (let step = 0; step < STEPS; step++) {
    signal?.throwIfAborted();
    const alpha = step / STEPS;
    const factors = step === 0 ? best.factors : factorsOf(magnitudes, alpha);
    const inverse = factors.map((factor) => 1 / factor);
    let cost = 0;
    for (const { scheme, share, ...rows } of looked) {
      const errors = roundingErrors({ ...rows, data: scaleColumns(rows, factors) }, { scheme, fit, kernels });
      cost += (await quadraticCost({ ...rows, data: scaleColumns({ ...rows, data: errors }, inverse) }, hessian, products)) / share;
    }
    if (!(cost < least)) continue;
    least = cost;
    best = { factors, alpha };
  }
  return best;
}

function factorsOf(magnitudes: Float32Array, alpha: number): Float32Array {
  const factors = magnitudes.map((magnitude) => Math.max(magnitude ** alpha, SMALLEST));
  let most = 0;
  let least = Infinity;
  for (const factor of factors) {
    most = Math.max(most, factor);
    least = Math.min(least, factor);
  }
  const centre = Math.sqrt(most * least);
  return factors.map((factor) => factor / centre);
}

/** At most `MOST_OUTPUTS` rows, and which share of all that is. */
function spread(rows: Rows): Rows & { readonly share: number } {
  const { data, cols, size } = rows;
  if (cols <= MOST_OUTPUTS) return { ...rows, share: 1 };
  const some = new Float32Array(MOST_OUTPUTS * size);
  for (let i = 0; i < MOST_OUTPUTS; i++) {
    const from = Math.floor((i * cols) / MOST_OUTPUTS) * size;
    some.set(data.subarray(from, from + size), i * size);
  }
  return { data: some, cols: MOST_OUTPUTS, size, share: MOST_OUTPUTS / cols };
}
