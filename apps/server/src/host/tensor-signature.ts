/** An input or output of a graph as it is told between processes. */
import type { ValueInfo } from '@penjing/core';
import type { TensorSignature } from './protocol.js';

export function signatureOf({ name, type }: ValueInfo): TensorSignature {
  if (type.kind !== 'tensor') return { name, dtype: undefined, shape: undefined };
  return { name, dtype: type.dtype, shape: type.shape?.map((size) => (typeof size === 'number' || typeof size === 'string' ? size : null)) };
}
