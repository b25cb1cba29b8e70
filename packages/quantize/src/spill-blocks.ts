/** Rounded matrices on their way from a job to the model. */
import { DenseTensor, expr, type JobContext, type JobHost, PenjingError, type QuantizedTensors, type TensorReference } from '@penjing/core';
import type { BlockStats } from '@penjing/kernels';
import type { StoredBlocks } from './block-codes.js';
import { storedBits, type WeightScheme } from './scheme.js';

/** A matrix that was rounded, its tensors spilled, of the types and shapes that `lazy.quantize` gives them. */
export interface RoundedMatrix {
  readonly values: TensorReference;
  readonly scales: TensorReference;
  readonly zeroPoints: TensorReference | undefined;
  /** ½ (w − q)ᵀ H (w − q), summed over the outputs. */
  readonly objective: number;
  /** Of the weights themselves, in no metric. */
  readonly stats: BlockStats;
}

interface BlockForm {
  readonly shape: readonly [number, number];
  readonly scheme: WeightScheme;
  readonly layout: 'nbits' | 'linear';
}

/** `blocks` as the layout stores them: sub-byte codes packed. */
export async function spillBlocks(blocks: StoredBlocks, { shape, scheme, layout }: BlockForm, context: JobContext): Promise<Pick<RoundedMatrix, 'values' | 'scales' | 'zeroPoints'>> {
  const { blockSize, symmetric } = scheme;
  const form = expr.quantize(expr.fill('float32', shape, 0), { bits: storedBits(scheme), blockSize, symmetric, layout });
  const put = ({ dtype, shape }: typeof form.values, data: Uint8Array): Promise<TensorReference> => context.spill(new DenseTensor(dtype, shape, data));
  const { buffer, byteOffset, byteLength } = blocks.scales;
  return {
    values: await put(form.values, blocks.values),
    scales: await put(form.scales, new Uint8Array(buffer, byteOffset, byteLength)),
    zeroPoints: form.zeroPoints && (await put(form.zeroPoints, blocks.zeroPoints!)),
  };
}

export async function spilledTensors({ values, scales, zeroPoints }: RoundedMatrix, jobs: JobHost): Promise<QuantizedTensors> {
  return { values: await jobs.tensor(values), scales: await jobs.tensor(scales), zeroPoints: zeroPoints && (await jobs.tensor(zeroPoints)) };
}

/** A float32 weight matrix. Throws `E_DATA` for one that holds NaN or infinities: what is rounded with it would follow from them. */
export async function readWeights(reference: TensorReference, { read, kernels }: Pick<JobContext, 'read' | 'kernels'>): Promise<Float32Array> {
  const weights = (await read(reference)).data as Float32Array;
  const { nonFinite } = kernels.errorStats(weights, weights);
  if (nonFinite > 0) throw new PenjingError('E_DATA', `${nonFinite} of ${weights.length} weights that read one activation are not finite`, { hint: 'Check the model.' });
  return weights;
}
