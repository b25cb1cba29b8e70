/** The elements of small stored tensors, as far as inference needs them. */
import { dtypes } from '../dtype.js';
import { elementCount } from '../shape.js';
import type { DenseTensor, Tensor } from '../tensor.js';
import type { Dims } from './rule.js';

/** Elements of tensors larger than this are not followed. */
export const MAX_VALUES = 256;

/** Elements of a small dense integer, bool or float32 tensor; undefined for any other. 64-bit values lose precision beyond 2^53. */
export function constantValues(tensor: Tensor): Dims | undefined {
  const { bits, kind } = dtypes[tensor.dtype];
  const readable = kind === 'int' || kind === 'uint' || kind === 'bool' || (kind === 'float' && bits >= 32);
  if (tensor.kind !== 'dense' || !readable || bits < 8 || elementCount(tensor.shape) > MAX_VALUES) return undefined;
  return Array.from((tensor as DenseTensor).data as ArrayLike<number | bigint>, Number);
}
