/** DeBERTa's attention: scores of contents with contents, of contents with distances, and of distances with contents. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { EncoderAttentionShape, ProjectionNames } from './attention-encoder.js';
import { linear } from './linear.js';

export interface DistanceShape {
  /** Half the rows of the table of distances. */
  readonly span: number;
  /** Number of buckets that distances fall into, growing with the distance; every distance for itself when absent. */
  readonly buckets?: number;
  readonly maxDistance: number;
}

/** Which scores with distances there are, and the modules that project distances; those of contents when absent. */
export interface DistanceTerms {
  /** Contents of queries with distances. */
  readonly toPosition: boolean;
  /** Contents of keys with distances. */
  readonly fromPosition: boolean;
  readonly own?: { readonly key: string; readonly query: string };
}

export interface DisentangledInputs {
  /** Embeddings of distances, (1, 2 · span, hidden). */
  readonly distances: Value;
  /** int64 (batch, heads, seq, seq): the row of `distances` for every query and key. */
  readonly rows: Value;
  /** Added to the scores, float32, broadcast to (batch, heads, seq, seq). */
  readonly bias: Value;
}

/** x and the result are (batch, seq, hidden). He et al. 2020, equation 4; the three terms are scaled together. */
export function disentangledAttention(
  net: Network,
  x: Value,
  names: ProjectionNames,
  { hidden, heads, headDim, bias: biased }: EncoderAttentionShape,
  { toPosition, fromPosition, own }: DistanceTerms,
  { distances, rows, bias }: DisentangledInputs,
): Value {
  const outputs = heads * headDim;
  const split = (x: Value): Value =>
    net.op('Transpose', [net.op('Reshape', [x, net.ints([0, 0, heads, headDim])])], { perm: [0, 2, 1, 3] });
  const project = (name: string, x: Value): Value => split(linear(net, name, x, { inputs: hidden, outputs, bias: biased }));
  const against = (left: Value, right: Value): Value => net.op('MatMul', [left, net.op('Transpose', [right], { perm: [0, 1, 3, 2] })]);

  const scale = (headDim * (1 + Number(toPosition) + Number(fromPosition))) ** -0.5;
  const query = net.op('Mul', [project(names.query, x), net.scalar(scale)]); // (batch, heads, seq, headDim)
  const key = project(names.key, x);
  let scores = against(query, key);
  if (toPosition) {
    const far = against(query, project(own?.key ?? names.key, distances)); // (batch, heads, seq, 2 · span)
    scores = net.op('Add', [scores, net.op('GatherElements', [far, rows], { axis: 3 })]);
  }
  if (fromPosition) {
    const scaled = net.op('Mul', [project(own?.query ?? names.query, distances), net.scalar(scale)]);
    // rows of keys: the distance of a key to a query is the other way round, so is its row
    const far = net.op('GatherElements', [against(key, scaled), net.op('Transpose', [rows], { perm: [0, 1, 3, 2] })], { axis: 3 });
    scores = net.op('Add', [scores, net.op('Transpose', [far], { perm: [0, 1, 3, 2] })]);
  }
  const weights = net.op('Softmax', [net.op('Add', [net.widen(scores), bias])], { axis: -1 });
  const mixed = net.op('MatMul', [net.narrow(weights), project(names.value, x)]);
  const merged = net.op('Reshape', [net.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), net.ints([0, 0, outputs])]);
  return linear(net, names.output, merged, { inputs: outputs, outputs: hidden, bias: biased });
}

/** The rows of the table of distances for every query and key, int64 (batch, heads, seq, seq); `places` is (1, seq), x (batch, seq, …). */
export function distanceRows(net: Network, x: Value, places: Value, heads: number, shape: DistanceShape): Value {
  const { span } = shape;
  const farthest = farthestDistance(shape);
  const row = (distance: number): number => Math.min(2 * span - 1, Math.max(0, span + logBucket(distance, shape)));
  const table = Array.from({ length: 2 * farthest + 1 }, (_, i) => row(i - farthest));
  const apart = net.op('Sub', [net.op('Transpose', [places], { perm: [1, 0] }), places]); // query - key
  const near = net.op('Clip', [apart, net.ints(-farthest), net.ints(farthest)]);
  const rows = net.op('Gather', [net.ints(table), net.op('Add', [near, net.ints(farthest)])]); // (seq, seq)
  const batch = net.op('Shape', [x], { start: 0, end: 1 });
  return net.op('Expand', [rows, net.op('Concat', [batch, net.ints([heads]), net.op('Shape', [rows])], { axis: 0 })]);
}

/** From this distance on, the table has no other row. */
function farthestDistance(shape: DistanceShape): number {
  let distance = Math.min(shape.span, shape.maxDistance);
  while (logBucket(distance, shape) < shape.span && distance < 8 * shape.maxDistance) distance++;
  return distance;
}

/** Distances up to half the buckets are their own bucket, others share buckets by their logarithm; in transformers' float32. */
export function logBucket(distance: number, { buckets, maxDistance }: DistanceShape): number {
  if (buckets === undefined) return distance;
  const middle = Math.floor(buckets / 2);
  const size = Math.abs(distance);
  if (size <= middle) return distance;
  const f32 = Math.fround;
  const log = (x: number): number => f32(Math.log(f32(x)));
  const steps = f32(f32(log(size / middle) / log((maxDistance - 1) / middle)) * (middle - 1));
  return (Math.ceil(steps) + middle) * Math.sign(distance);
}
