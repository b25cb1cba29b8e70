/** Weights as files without a graph hold them: under the names of the checkpoint that they came from, in the type that is asked for. */
import { type Checkpoint, dtypes, lazy, PenjingError, type Tensor } from '@penjing/core';
import { checkpointLike, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import type { WriteStep } from '../steps/convert.js';
import type { WeightFiles } from './output-format.js';

export interface PlainWeights extends Pick<WeightFiles, 'rounding'> {
  readonly checkpoint: Checkpoint;
}

/** Throws `E_WEIGHTS` when `like` is the folder of another model, `E_OPTION` for a type that plain weights have not. */
export async function plainWeights(given: Checkpoint, { like, weights }: WriteStep): Promise<PlainWeights> {
  if (weights === 'int8') throw new PenjingError('E_OPTION', 'weights without a graph are floats', { hint: 'Choose float32, float16 or bfloat16.' });
  const { tensors, metadata } = like === undefined ? given : await checkpointLike(await openHuggingFaceFolder(openFolder(like)), given);
  const stored = new Map([...tensors].map(([name, tensor]) => [name, weights !== undefined && isFloat(tensor) ? lazy.cast(tensor, weights) : tensor]));
  const bits = weights === undefined ? undefined : dtypes[weights].bits;
  const rounds = bits !== undefined && [...tensors.values()].some((tensor) => isFloat(tensor) && dtypes[tensor.dtype].bits > bits);
  return { checkpoint: { tensors: stored, metadata }, ...(rounds && { rounding: { method: `cast ${weights}`, bits } }) };
}

function isFloat({ dtype }: Tensor): boolean {
  return dtypes[dtype].kind === 'float' && dtypes[dtype].bits >= 16;
}
