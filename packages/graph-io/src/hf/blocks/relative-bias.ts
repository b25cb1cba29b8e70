/** Biases by distance: attention scores that depend on how far two tokens are apart, in buckets that grow with it. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';

export interface RelativeBiasShape {
  readonly heads: number;
  /** Rows of the table; the first half is for tokens at or before one's own place. */
  readonly buckets: number;
  /** From here on all distances share the last bucket. */
  readonly maxDistance: number;
  /** All rows are for places at or before one's own: of decoders. */
  readonly causal?: boolean;
}

/** Places whose distances count, int64 (n) each. */
export interface Places {
  readonly query: Value;
  readonly key: Value;
}

/**
 * Scores to add, float32 (1, heads, seq, seq), by the table (buckets, heads) of the module `name`. `length` is int64 (1).
 * As T5 defined it (Raffel et al. 2020, section 2.1), for encoders.
 */
export function relativeBias(net: Network, name: string, length: Value, shape: RelativeBiasShape): Value {
  return net.module(name, () => {
    const places = net.op('Range', [net.ints(0), net.op('Squeeze', [length]), net.ints(1)]); // (seq)
    return biasBetween(net, { query: places, key: places }, shape);
  });
}

/** The same, (1, heads, queries, keys), inside the module that holds the table. */
export function biasBetween(net: Network, { query, key }: Places, { heads, buckets, maxDistance, causal = false }: RelativeBiasShape): Value {
  const farthest = maxDistance;
  const distances = Array.from({ length: 2 * farthest + 1 }, (_, i) => distanceBucket(i - farthest, buckets, maxDistance, causal));
  const byDistance = net.op('Gather', [net.weight('weight', [buckets, heads]), net.ints(distances)]); // (2 · farthest + 1, heads)
  const rows = net.op('Transpose', [byDistance], { perm: [1, 0] });
  const apart = net.op('Sub', [net.op('Unsqueeze', [key, net.ints([0])]), net.op('Unsqueeze', [query, net.ints([1])])]);
  const near = net.op('Clip', [apart, net.ints(-farthest), net.ints(farthest)]);
  const scores = net.op('Gather', [rows, net.op('Add', [near, net.ints(farthest)])], { axis: 1 }); // (heads, queries, keys)
  return net.op('Unsqueeze', [net.widen(scores), net.ints([0])]);
}

/** The bucket of `distance` = key's place - query's place, in the float32 arithmetic of transformers. */
export function distanceBucket(distance: number, buckets: number, maxDistance: number, causal = false): number {
  const half = causal ? buckets : Math.floor(buckets / 2);
  const exact = Math.floor(half / 2);
  const side = distance > 0 && !causal ? half : 0;
  const n = causal ? Math.max(0, -distance) : Math.abs(distance);
  if (n < exact) return side + n;
  const f32 = Math.fround;
  const scaled = f32(f32(f32(Math.log(f32(n / exact))) / f32(Math.log(maxDistance / exact))) * (half - exact));
  return side + Math.min(half - 1, exact + Math.trunc(scaled));
}
