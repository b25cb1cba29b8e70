/** The coordinate form of one weight: what is not zero, and where. */
import { DenseTensor, dtypes, type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';

export interface GatherInput {
  /** Floats of 16, 32 or 64 bits. */
  readonly weight: TensorReference;
  /** What it was before zeros came into it, to be compared with; nothing is measured without. */
  readonly original?: TensorReference | undefined;
  /** At most so many bytes of values and indices are made. */
  readonly most: number;
}

export interface GatherOutput {
  readonly nonZeros: number;
  /** (nonZeros), and their places in the flattened weight, ascending int64; spilled. Absent when they would take more than `most`. */
  readonly coordinates?: { readonly values: TensorReference; readonly indices: TensorReference };
  readonly measured?: { readonly objective: number; readonly snrDb: number; readonly maxError: number };
}

/** Bytes of an index: ONNX has them as int64. */
export const INDEX_BYTES = 8;

/** One weight is in memory at a time. */
export const gatherJob: Job<GatherInput, GatherOutput> = { module: jobModule(import.meta.url, './gather-job'), name: 'gatherJob', run: gather, repeatable: true };

async function gather({ weight, original, most }: GatherInput, context: JobContext): Promise<GatherOutput> {
  const tensor = await context.read(weight);
  const { data } = tensor;
  // both zeros are 0; a NaN is not
  const isZero = dtypes[tensor.dtype].kind === 'float' && dtypes[tensor.dtype].bits === 16 ? (value: number): boolean => (value & 0x7fff) === 0 : (value: number): boolean => value === 0;
  let nonZeros = 0;
  for (let i = 0; i < data.length; i++) if (!isZero(data[i] as number)) nonZeros++;
  const measured = original && (await lossOf(tensor, original, context));
  const itemBytes = tensor.byteLength / Math.max(1, data.length);
  if (nonZeros * (itemBytes + INDEX_BYTES) > most) return { nonZeros, ...(measured && { measured }) };
  const values = data.slice(0, nonZeros) as Uint16Array;
  const indices = new BigInt64Array(nonZeros);
  for (let i = 0, to = 0; i < data.length; i++) {
    if (isZero(data[i] as number)) continue;
    values[to] = data[i] as number;
    indices[to++] = BigInt(i);
  }
  return {
    nonZeros,
    coordinates: {
      values: await context.spill(DenseTensor.of(tensor.dtype, [nonZeros], values)),
      indices: await context.spill(DenseTensor.of('int64', [nonZeros], indices)),
    },
    ...(measured && { measured }),
  };
}

async function lossOf(pruned: DenseTensor, original: TensorReference, { read, kernels }: JobContext): Promise<GatherOutput['measured']> {
  const floats = ({ dtype, data }: DenseTensor): Float32Array => {
    if (dtype === 'float32') return data as Float32Array;
    const out = new Float32Array(data.length);
    kernels.toFloat32(dtype as 'float16', data, out);
    return out;
  };
  const { sumSquares, sumSquaredError, maxError } = kernels.errorStats(floats(await read(original)), floats(pruned));
  return { objective: sumSquaredError / 2, maxError, snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError) };
}
