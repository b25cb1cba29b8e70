/** Rotation inside of other operators, by the operator whose gradient is the rotation back. */
import type { Value } from '@penjing/core';
import { dimsOf } from '../../gradient/ops.js';
import type { DecompositionContext } from '../decomposition.js';

export interface Rotation {
  /** (batch, seq, heads · size). */
  readonly x: Value;
  /** int64 (batch, seq): rows of the tables. */
  readonly ids: Value;
  /** (rows, pairs) each. */
  readonly cos: Value;
  readonly sin: Value;
  readonly heads: number;
  readonly interleaved: boolean;
}

/** x, rotated, by com.microsoft.RotaryEmbedding. */
export function rotated(c: DecompositionContext, { x, ids, cos, sin, heads, interleaved }: Rotation): Value {
  const [width, pairs] = [dimsOf(x)?.at(-1), dimsOf(cos)?.at(-1)];
  if (typeof width !== 'number' || typeof pairs !== 'number') throw c.unsupported(`rotation in ${c.node.opType} of an unknown width`);
  const partial = 2 * pairs < width / heads && { num_heads: heads, rotary_embedding_dim: 2 * pairs };
  return c.ops.op('RotaryEmbedding', [x, ids, cos, sin], { ...partial, ...(interleaved && { interleaved: 1 }) }, { domain: 'com.microsoft' });
}
